package token

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// The errors of this file follow the name of a key: they say what it is, and show nothing of it.

// CheckPrivateKey reports what keeps text from being Keys.PrivateKey.
func CheckPrivateKey(text string) error {
	_, err := parsePrivateKey(text)
	return err
}

// CheckAcceptedKeys reports what keeps text from being Keys.AcceptedKeys.
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
		return nil, fmt.Errorf("has %d keys and needs one", len(keys))
	}
	if _, ok := keys[0].(crypto.Signer); !ok {
		return nil, errors.New("is a public key and needs to be a private one")
	}
	return keys[0], nil
}

// parseKeys returns the keys of PEM blocks one after the other, each private or public. Where
// one can't be taken none is: a file that was cut off must not pass for a shorter one. Line endings may be written as \n or \r\n, as
// in an environment file, whose values are of one line.
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
		if block.Type == "EC PARAMETERS" { // openssl ecparam writes it before the key, which names its curve too
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
		return nil, errors.New("is not PEM, or was cut off")
	}
	return keys, nil
}

// numbered says which key of several an error is about; the first one needs no number.
func numbered(n int, err error) error {
	if n == 1 {
		return err
	}
	return fmt.Errorf("is bad at key %d, which %w", n, err)
}

func parseBlock(block *pem.Block) (key any, err error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
		return nil, errors.New("is encrypted with a passphrase, and nobody is there to type it")
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
		return nil, errors.New("is a PEM block of another kind than a key")
	}
	if err != nil { // its message may tell more than it should
		return nil, errors.New("is PEM with a content that can't be read as its label says")
	}
	return key, nil
}
