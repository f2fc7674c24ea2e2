package token

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// The errors in this file can follow the name of a key. They contain no part of the key.

// CheckPrivateKey returns an error if text is not a valid Keys.PrivateKey.
func CheckPrivateKey(text string) error {
	_, err := parsePrivateKey(text)
	return err
}

// CheckAcceptedKeys returns an error if text is not a valid Keys.AcceptedKeys.
func CheckAcceptedKeys(text string) error {
	_, err := parseKeys(text)
	return err
}

func parsePrivateKey(text string) (any, error) {
	keys, err := parseKeys(text)
	if err != nil {
		return nil, err
	}
	if len(keys) != 1 {
		return nil, fmt.Errorf("has %d keys, and must have one", len(keys))
	}
	if _, ok := keys[0].(crypto.Signer); !ok {
		return nil, errors.New("is a public key, and must be a private key")
	}
	return keys[0], nil
}

// parseKeys parses PEM blocks with private or public keys. It fails if one of the blocks is invalid, so that a truncated file is not
// accepted as a list with fewer keys. Line ends may be written as the characters \n or \r\n, because a value in an environment file must
// be a single line.
func parseKeys(text string) ([]any, error) {
	text = strings.NewReplacer(`\r\n`, "\n", `\n`, "\n").Replace(text)
	var keys []any
	rest, found := []byte(text), 0
	for {
		block, after := pem.Decode(rest)
		if block == nil {
			break
		}
		rest = after
		found++
		if block.Type == "EC PARAMETERS" { // openssl ecparam writes this block before the key; the block of the key also names the curve
			continue
		}
		key, err := parseBlock(block)
		if err == nil {
			_, err = methodOf(key)
		}
		if err != nil {
			return nil, numbered(len(keys)+1, err)
		}
		keys = append(keys, key)
	}
	if strings.TrimSpace(string(rest)) != "" || found != strings.Count(text, "-----BEGIN") {
		return nil, errors.New("is not PEM, or is truncated")
	}
	return keys, nil
}

// numbered adds the number of the key to an error, unless it is the first key.
func numbered(n int, err error) error {
	if n == 1 {
		return err
	}
	return fmt.Errorf("is invalid at key %d, which %w", n, err)
}

func parseBlock(block *pem.Block) (key any, err error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
		return nil, errors.New("is encrypted with a passphrase, which is not supported")
	}
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return nil, errors.New("is a PEM block without a key")
	}
	if err != nil { // its message may contain parts of the key
		return nil, errors.New("is PEM whose content does not match its label")
	}
	return key, nil
}
