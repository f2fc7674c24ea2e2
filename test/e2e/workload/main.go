// Command workload contains the commands that the e2e scenario workload runs:
//
//	workload call URL           # Requests the URL with the token in the pod's file, and prints the status.
//	workload issuer             # Serves the public keys in /keys over TLS.
//	workload token -key FILE …  # Prints a token with the claims of the flags.
package main

import (
	"crypto"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// Files in the pods of the scenario.
const (
	tokenFile = "/var/run/secrets/user-service/token"
	keys      = "/keys/*.pem"
	cert, key = "/tls/tls.crt", "/tls/tls.key"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "workload:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "call":
		return call(args[1])
	case len(args) == 1 && args[0] == "issuer":
		return serve(os.Getenv("ISSUER"))
	case len(args) > 1 && args[0] == "token":
		return issue(args[1:])
	default:
		return errors.New("name one of the commands call, issuer and token")
	}
}

func call(url string) error {
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodGet, url, nil) //nolint:noctx,gosec // the client has a timeout; the scenario sets the URL
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+string(token))
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Do(req) //nolint:gosec // see above
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = fmt.Fprintln(os.Stdout, resp.StatusCode)
	return err
}

// serve serves the discovery and the keys of an issuer until the process is killed.
func serve(issuer string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": issuer, "jwks_uri": issuer + "/keys"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		set, err := publicKeys()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(set)
	})
	server := &http.Server{Addr: ":8443", Handler: mux, ReadHeaderTimeout: time.Second}
	return server.ListenAndServeTLS(cert, key)
}

// publicKeys returns the keys of the files. The kid of a key is the name of its file.
func publicKeys() (set jose.JSONWebKeySet, err error) {
	files, err := filepath.Glob(keys)
	if err != nil {
		return set, err
	}
	for _, file := range files {
		pem, err := os.ReadFile(file) //nolint:gosec // a file of the scenario
		if err != nil {
			return set, err
		}
		public, err := jwt.ParseECPublicKeyFromPEM(pem)
		if err != nil {
			return set, err
		}
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: public, KeyID: kid(file), Algorithm: "ES256", Use: "sig"})
	}
	return set, nil
}

func kid(file string) string { return strings.TrimSuffix(filepath.Base(file), ".pem") }

// issue prints a token. The kid is the name of the key's file.
func issue(args []string) error {
	flags := flag.NewFlagSet("token", flag.ExitOnError)
	file := flags.String("key", "", "file with a private key of P-256 in PEM")
	issuer, subject := flags.String("issuer", "", "iss"), flags.String("subject", "", "sub")
	audience, expires := flags.String("audience", "user-service", "aud"), flags.Duration("expires", time.Hour, "time until exp")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pem, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	private, err := jwt.ParseECPrivateKeyFromPEM(pem)
	if err != nil {
		return err
	}
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.RegisteredClaims{
		Issuer: *issuer, Subject: *subject, Audience: jwt.ClaimStrings{*audience},
		IssuedAt: jwt.NewNumericDate(now.Add(-2 * time.Hour)), ExpiresAt: jwt.NewNumericDate(now.Add(*expires)),
	})
	token.Header["kid"] = kid(*file)
	signed, err := token.SignedString(crypto.PrivateKey(private))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stdout, signed)
	return err
}
