package postgres_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"user-service/pkg/postgres/postgrestest"
)

// selfSigned returns a certificate for 127.0.0.1, and its PEM form.
func selfSigned(t *testing.T) (*tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}

// writePair writes a certificate and its key to files in dir. The certificate is also the CA file.
func writePair(t *testing.T, dir string, pair *tls.Certificate, certificate []byte) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	for name, content := range map[string][]byte{"ca.pem": certificate, "tls.crt": certificate, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// tlsServer starts a TLS proxy in front of the server of dsn, and returns its address. The proxy presents the current certificate on each
// connection. It stores the client certificate of the last connection in presented.
func tlsServer(t *testing.T, dsn string, certificate *atomic.Pointer[tls.Certificate], presented *atomic.Pointer[x509.Certificate]) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = client.Close() }()
				if _, err := io.ReadFull(client, make([]byte, 8)); err != nil { // SSLRequest
					return
				}
				_, _ = client.Write([]byte("S"))
				secure := tls.Server(client, &tls.Config{
					Certificates: []tls.Certificate{*certificate.Load()}, MinVersion: tls.VersionTLS12,
					ClientAuth: tls.RequireAnyClientCert,
					VerifyConnection: func(state tls.ConnectionState) error {
						presented.Store(state.PeerCertificates[0])
						return nil
					},
				})
				server, err := net.Dial("tcp", u.Host)
				if err != nil {
					return
				}
				defer func() { _ = server.Close() }()
				go func() { _, _ = io.Copy(server, secure); _ = server.Close() }()
				_, _ = io.Copy(secure, server)
			}()
		}
	}()
	return listener.Addr().String()
}

// certificateFiles maps each parameter of a URL that names a certificate or key, without its prefix ssl, to a file name.
var certificateFiles = map[string]string{"rootcert": "ca.pem", "cert": "tls.crt", "key": "tls.key"}

// TestCertificatesAreReloaded replaces the server's certificate, the CA file and the client's certificate. New connections must then use
// all three.
func TestCertificatesAreReloaded(t *testing.T) {
	t.Parallel()
	reloadsCertificates(t, func(dir string, query url.Values) {
		query.Set("sslmode", "verify-full")
		for name, file := range certificateFiles {
			query.Set("ssl"+name, filepath.Join(dir, file))
		}
	})
}

// TestCertificatesOfTheEnvironmentAreReloaded names the certificates in the environment, as the chart does.
func TestCertificatesOfTheEnvironmentAreReloaded(t *testing.T) {
	reloadsCertificates(t, func(dir string, query url.Values) {
		query.Del("sslmode")
		t.Setenv("PGSSLMODE", "verify-full")
		for name, file := range certificateFiles {
			t.Setenv("PGSSL"+strings.ToUpper(name), filepath.Join(dir, file))
		}
	})
}

// reloadsCertificates replaces the server's certificate, the CA file and the client's certificate, and then connects again. configure
// names the files in dir.
func reloadsCertificates(t *testing.T, configure func(dir string, query url.Values)) {
	t.Helper()
	dsn, dir := postgrestest.URL(t), t.TempDir()
	var certificate atomic.Pointer[tls.Certificate]
	var presented atomic.Pointer[x509.Certificate]
	first, ca := selfSigned(t)
	certificate.Store(first)
	writePair(t, dir, first, ca)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = tlsServer(t, dsn, &certificate, &presented)
	query := u.Query()
	configure(dir, query)
	u.RawQuery = query.Encode()
	db := postgrestest.Connect(t, u.String(), nil)
	check := func(pair *tls.Certificate) {
		t.Helper()
		for name, connect := range map[string]func(context.Context) error{
			"a query":   func(ctx context.Context) error { _, err := db.Roles(ctx); return err },
			"readiness": db.Probe,
		} {
			if err := connect(t.Context()); err != nil {
				t.Errorf("%s: %v, want success", name, err)
			} else if !bytes.Equal(presented.Load().Raw, pair.Certificate[0]) {
				t.Errorf("%s presents a certificate that differs from the one in the file", name)
			}
		}
	}
	check(first)
	second, ca := selfSigned(t)
	certificate.Store(second)
	writePair(t, dir, second, ca)
	db.Reset()
	check(second)
}
