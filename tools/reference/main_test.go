package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

func TestThePagesAreUpToDate(t *testing.T) {
	t.Parallel()
	content, err := files(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range content {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s differs from the contract; run: go run ./tools/reference . (-want +got):\n%s", name, diff)
		}
	}
}
