package postgres_test

import (
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

// tlsServer starts a TLS proxy in front of the server of dsn, and returns its address. Each connection gets the current
// certificate.
func tlsServer(t *testing.T, dsn string, certificate *atomic.Pointer[tls.Certificate]) string {
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
				secure := tls.Server(client, &tls.Config{Certificates: []tls.Certificate{*certificate.Load()}, MinVersion: tls.VersionTLS12})
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

// TestTheServersCAIsReloaded replaces the server's certificate and the CA file, and then connects again.
func TestTheServersCAIsReloaded(t *testing.T) {
	t.Parallel()
	dsn, file := postgrestest.URL(t), filepath.Join(t.TempDir(), "ca.pem")
	var certificate atomic.Pointer[tls.Certificate]
	first, ca := selfSigned(t)
	certificate.Store(first)
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = tlsServer(t, dsn, &certificate)
	query := u.Query()
	query.Set("sslmode", "verify-full")
	query.Set("sslrootcert", file)
	u.RawQuery = query.Encode()
	db := postgrestest.Connect(t, u.String(), nil)
	if _, err := db.Roles(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	second, ca := selfSigned(t)
	certificate.Store(second)
	if err := os.WriteFile(file, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	db.Reset()
	if _, err := db.Roles(t.Context()); err != nil {
		t.Errorf("a query with the new CA: %v, want success", err)
	}
	if err := db.Probe(t.Context()); err != nil {
		t.Errorf("the connection of readiness, with the new CA: %v", err)
	}
}
