package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// controls has each control character, and others that change the order or the look of a text.
func controls() string {
	var all strings.Builder
	for r := range rune(0xa0) {
		if unicode.IsControl(r) {
			all.WriteRune(r)
		}
	}
	return all.String() + "\u202e\u2066\u200b\ufeff\u2028"
}

func TestOutputHasNoControlCharacters(t *testing.T) {
	t.Parallel()
	text := "a" + controls() + "ä 李\\"
	value := map[string]string{"name": text}
	for _, output := range []string{asTable, asJSON} {
		var out bytes.Buffer
		l := newList(&out, output, "NAME")
		for range 2 {
			if err := l.add(value, text); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.end(); err != nil {
			t.Fatal(err)
		}
		if err := object(&out, output, value, [2]any{"name", text}, [2]any{"other", text}); err != nil {
			t.Fatal(err)
		}
		if bad := strings.IndexFunc(out.String(), func(r rune) bool { return unicode.IsControl(r) && r != '\n' }); bad >= 0 {
			t.Errorf("%s: the output has a control character at %d: %q", output, bad, &out)
		}
		if output == asTable && strings.ContainsAny(out.String(), "\u202e\u2066\u200b\ufeff\u2028") {
			t.Errorf("the table has an invisible character: %q", &out)
		}
		if lines := strings.Count(out.String(), "\n"); lines != map[string]int{asTable: 5, asJSON: 3}[output] {
			t.Errorf("%s: the output has %d lines: %q", output, lines, &out)
		}
	}
}

func TestEscapedJSONHasTheSameValue(t *testing.T) {
	t.Parallel()
	want := map[string]any{"name": controls() + "ä\\u0085", "list": []any{1.5, nil, true}}
	encoded, err := encode(want)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(encoded, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	indented := []byte("{\n\t\"a\": \"\u009b\"}\r\n")
	if got := string(escapeControls(indented)); got != "{\n\t\"a\": \"\\u009b\"}\r\n" {
		t.Errorf("%q", got)
	}
}

func TestAnEmptyListIsAnArray(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := newList(&out, asJSON).end(); err != nil || out.String() != "[]\n" {
		t.Errorf("%q, %v, want []", &out, err)
	}
}
