package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"user-service/internal/testkit"
	"user-service/pkg/config"
)

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
	write(ca, append(testkit.Certificate(t, late), testkit.Certificate(t, soon)...))
	write(client, testkit.Certificate(t, soon))
	write(broken, []byte("no certificate"))
	files := newCertificates(config.Config{
		Database: config.Database{URL: config.Secret("postgres://u@localhost/d?sslrootcert=" + ca + "&sslcert=" + client)},
		RabbitMQ: config.RabbitMQ{TLS: true, CAFile: broken, CertFile: filepath.Join(dir, "missing.crt")},
	})
	if diff := cmp.Diff(map[string]time.Time{"database_ca": soon, "database_client": soon}, files.expiries()); diff != "" {
		t.Errorf("expiries (-want +got):\n%s", diff)
	}
	write(client, testkit.Certificate(t, late))
	if got := files.expiries()["database_client"]; !got.Equal(late) {
		t.Errorf("after the rotation, the client certificate expires %s, want %s", got, late)
	}
}
