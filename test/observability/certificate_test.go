package observability_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"user-service/internal/testkit"
)

// writeCA writes a file with a CA that expires after valid. Without TLS, the service reads only its expiry.
func writeCA(t *testing.T, file string, valid time.Duration) {
	t.Helper()
	if err := os.WriteFile(file, testkit.Certificate(t, time.Now().Add(valid)), 0o600); err != nil {
		t.Fatal(err)
	}
}

const year = 365 * 24 * time.Hour

// newCA returns the file of a CA that expires in a year.
func newCA(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.crt")
	writeCA(t, file, year)
	return file
}
