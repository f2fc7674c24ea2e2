package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"user-service/pkg/user"
)

// seeds are the first inputs of FuzzDecode.
var seeds = []string{
	"", " ", "null", "[]", "{", "}", "{}", "{}{}", "{} x", "\ufeff{}", "\x00{}", `"{}"`, "1e400",
	`{"email":"ada@example.com","password":"seven green kettles sing","name":"Ada","metadata":{"n":1.10}}`,
	`{"email":"a@b.c","email":"d@e.f"}`, `{"e":1,"\u0065":2}`, `{"metadata":{"a":{"b":1,"b":1}}}`, `{"email":1,"Email":2}`,
	`{"name":null,"picture":"https://x.example/","locale":"de","zoneinfo":"Europe/Berlin"}`, `{"a/b~c":1}`,
	`{"name":"a\u0000b","\u0000":["\u0000"]}`, "{\"name\":\"\x00\"}", "{\"name\":\"\xff\"}", `{"name":"\ud800"}`, `{"name":"\ud83d\udd11"}`,
	`{"metadata":{"big":123456789012345678901234567890,"e":1E400,"m":-0,"l":01}}`, `{"metadata":[]}`, `{"metadata":{"<":"\/"}}`,
	`{"metadata":` + strings.Repeat(`[`, 100),
	`{"metadata":{"a":` + strings.Repeat(`[`, maxDepth-2) + strings.Repeat(`]`, maxDepth-2) + `}}`,
	`{"a":` + strings.Repeat(`{"a":`, maxDepth) + "1" + strings.Repeat("}", maxDepth+1), "{\"a\":1,}", "{'a':1}", "{\"a\" :\t1\r\n}",
}

// FuzzDecode checks that the decoder accepts only bodies that encoding/json reads in the same way, and refuses the others with a 4xx.
func FuzzDecode(f *testing.F) {
	for _, body := range seeds {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		obj, err := parseObject(slices.Clone(body))
		if err != nil {
			checkRefusal(t, err)
		} else if len(obj.errs) == 0 {
			checkMembers(t, body, obj)
		}
		if in, err := decode(callWith(t, body), []string{mediaJSON}, readReplacement, user.Replacement.Check); err != nil {
			checkRefusal(t, err)
		} else {
			checkMetadata(t, in.Profile.Metadata)
		}
		if in, err := decode(callWith(t, body), []string{mediaJSON}, readPatch, user.Patch.Check); err != nil {
			checkRefusal(t, err)
		} else if metadata, given := in.Profile["metadata"]; given && metadata != "null" {
			checkMetadata(t, json.RawMessage(metadata))
		}
	})
}

// callWith returns a call with the body.
func callWith(t *testing.T, body []byte) *call {
	t.Helper()
	r := &http.Request{Header: http.Header{"Content-Type": {mediaJSON}}, Body: io.NopCloser(bytes.NewReader(body))}
	c := &call{Request: r, base: t.Context(), bodies: newBodies(maxBodies)}
	c.startTimeout(time.Minute)
	t.Cleanup(func() { c.cancel() })
	return c
}

// checkRefusal checks that the error has a detail for the client and a 4xx status.
func checkRefusal(t *testing.T, err error) {
	t.Helper()
	var e *user.Error
	if !errors.As(err, &e) || e.Detail == "" {
		t.Fatalf("the error is %v, want a user.Error with a detail", err)
	}
	if status := problemTypes[e.Code].status; status < 400 || status > 499 {
		t.Fatalf("%v has the status %d, want a 4xx", err, status)
	}
	if e.Code == user.Invalid && len(e.Fields) == 0 {
		t.Errorf("%v names no field, want at least one", err)
	}
}

// checkMembers uses encoding/json to read a body that parseObject has accepted, and compares the field names.
func checkMembers(t *testing.T, body []byte, obj *object) {
	t.Helper()
	if !utf8.Valid(body) {
		t.Fatalf("%q is accepted, want only UTF-8", body)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	w := walker{dec: dec}
	names, err := w.value()
	if err != nil {
		t.Fatalf("%q is accepted, but encoding/json returns %v", body, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		t.Fatalf("%q: after the object encoding/json returns %v, want EOF", body, err)
	}
	slices.Sort(names)
	if diff := cmp.Diff(names, slices.Sorted(maps.Keys(obj.members))); diff != "" {
		t.Fatalf("%q: field names (-encoding/json +parseObject):\n%s", body, diff)
	}
}

// walker reads JSON. It fails on NUL characters, duplicate names and too deep nesting.
type walker struct {
	dec   *json.Decoder
	depth int
}

// value reads one value. For an object it returns the names of the fields.
func (w *walker) value() (names []string, err error) {
	token, err := w.dec.Token()
	if err != nil {
		return nil, err
	}
	if text, ok := token.(string); ok && strings.Contains(text, "\x00") {
		return nil, fmt.Errorf("NUL in %q", text)
	}
	opening, ok := token.(json.Delim)
	if !ok {
		return nil, nil
	}
	if w.depth++; w.depth > maxDepth {
		return nil, fmt.Errorf("nested %d levels deep", w.depth)
	}
	for w.dec.More() && err == nil {
		if opening == '{' {
			names, err = w.name(names)
		}
		if err == nil {
			_, err = w.value()
		}
	}
	if err != nil {
		return nil, err
	}
	w.depth--
	_, err = w.dec.Token() // the closing delimiter
	return names, err
}

// name reads the name of a field and appends the name to before. Errors: the name is in before or contains NUL.
func (w *walker) name(before []string) ([]string, error) {
	token, err := w.dec.Token()
	name, _ := token.(string)
	if slices.Contains(before, name) || strings.Contains(name, "\x00") {
		return nil, fmt.Errorf("the name %q is a duplicate or contains NUL", name)
	}
	return append(before, name), err
}

func checkMetadata(t *testing.T, metadata json.RawMessage) {
	t.Helper()
	if metadata == nil {
		return
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, metadata); err != nil || metadata[0] != '{' {
		t.Fatalf("metadata is %q (error %v), want a JSON object", metadata, err)
	}
	if !bytes.Equal(compact.Bytes(), metadata) {
		t.Errorf("metadata is %q, want the compact form %q", metadata, compact.Bytes())
	}
}

// FuzzCursor checks that each id has exactly one cursor, and that other non-empty texts are refused.
func FuzzCursor(f *testing.F) {
	id := uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")
	cursor := encodeCursor(id)
	for _, text := range []string{
		cursor, "", "A", "AAAA", cursor[:21], cursor + "A", cursor + "==", cursor + "\n", "\r\n" + cursor, cursor[:21] + "Y", id.String(),
		strings.Repeat("A", 22), strings.Repeat("_", 22), strings.Repeat("/", 22), strings.Repeat("A", 24),
	} {
		f.Add(text, id[:])
	}
	f.Add("", uuid.Max[:])
	f.Fuzz(func(t *testing.T, text string, id []byte) {
		if got, err := decodeCursor(text); err != nil {
			checkRefusal(t, err)
		} else if text != "" && encodeCursor(got) != text {
			t.Errorf("%q is accepted as the cursor of %s, want only %s", text, got, encodeCursor(got))
		}
		if len(id) != len(uuid.Nil) {
			return
		}
		want := uuid.UUID(id)
		if got, err := decodeCursor(encodeCursor(want)); err != nil || got != want {
			t.Errorf("the cursor of %s is decoded as %s (error %v), want the same id", want, got, err)
		}
	})
}
