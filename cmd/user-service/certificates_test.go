package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"user-service/pkg/config"
)

// certificate returns a self-signed certificate as PEM.
func certificate(t *testing.T, expiry time.Time) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: expiry}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// TestCertificatesAreReadAtEachScrape replaces a file, as a rotation does. A bundle of CAs expires with its first certificate.
func TestCertificatesAreReadAtEachScrape(t *testing.T) {
	t.Parallel()
	soon, late := time.Now().Add(time.Hour).UTC().Truncate(time.Second), time.Now().Add(1000*time.Hour).UTC().Truncate(time.Second)
	dir := t.TempDir()
	ca, client, broken := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "tls.crt"), filepath.Join(dir, "broken.crt")
	write := func(file string, content []byte) {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(ca, append(certificate(t, late), certificate(t, soon)...))
	write(client, certificate(t, soon))
	write(broken, []byte("no certificate"))
	files := newCertificates(config.Config{
		Database: config.Database{URL: config.Secret("postgres://u@localhost/d?sslrootcert=" + ca + "&sslcert=" + client)},
		RabbitMQ: config.RabbitMQ{TLS: true, CAFile: broken, CertFile: filepath.Join(dir, "missing.crt")},
	})
	if diff := cmp.Diff(map[string]time.Time{"database_ca": soon, "database_client": soon}, files.expiries()); diff != "" {
		t.Errorf("expiries (-want +got):\n%s", diff)
	}
	write(client, certificate(t, late))
	if got := files.expiries()["database_client"]; !got.Equal(late) {
		t.Errorf("after the rotation, the client certificate expires %s, want %s", got, late)
	}
}
