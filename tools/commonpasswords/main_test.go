package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRunReadsBothFormsOfAList(t *testing.T) {
	t.Parallel()
	files := []string{
		write(t, "list.json", `["Trustworthy9", "tiny", "12345678", "aaaaaaaa"]`),
		write(t, "list.txt", "trustworthy9\r\nvelvetunderground\n\n"),
	}
	var out bytes.Buffer
	if err := run(files, &out); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Error("the list is not sorted, or has a duplicate")
	}
	for word, want := range map[string]bool{
		"trustworthy9": true, "velvetunderground": true, "correcthorsebatterystaple": true,
		"itsawonderfullife": true, "tobeornottobethatisthequestion": true, // from a file with spaces and punctuation
		"Trustworthy9": false,
		"tiny":         false, "": false, // too short
		"12345678": false, "aaaaaaaa": false, // refused by other rules
	} {
		if slices.Contains(got, word) != want {
			t.Errorf("the list has %q: %t, want %t", word, !want, want)
		}
	}
}

func TestRunReportsBadFiles(t *testing.T) {
	t.Parallel()
	for _, file := range []string{filepath.Join(t.TempDir(), "absent.txt"), write(t, "bad.json", `{"a": 1}`)} {
		if err := run([]string{file}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v, want an error that names it", file, err)
		}
	}
}

func TestCompileCombinesFrequentWords(t *testing.T) {
	t.Parallel()
	got := compile([]string{"velvet", "x1", "underground"}, []string{"openthecellar"})
	for _, want := range []string{
		"velvetunderground", "undergroundvelvet", "underground2024", "velvet123456789", "velvetvelvet123", "openthecellar2024",
		"summer2026", "summer2026summer", "2026winter",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not on the list", want)
		}
	}
	for _, other := range []string{"velvet2024", "velvetx1underground", "velvetopenthecellar", "velvet underground"} {
		if slices.Contains(got, other) {
			t.Errorf("%q is on the list", other)
		}
	}
}

func TestFrequentTakesTheFirstWordsOfLetters(t *testing.T) {
	t.Parallel()
	got := frequent([]string{"velvet", "velvet1", "sun", "über", "two words"})
	if diff := cmp.Diff([]string{"velvet", "über"}, got); diff != "" {
		t.Errorf("frequent (-want +got):\n%s", diff)
	}
}
