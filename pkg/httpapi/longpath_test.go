package httpapi

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestALongPathIsNotRepeated in a problem document, which would wait for its client in six times the size.
func TestALongPathIsNotRepeated(t *testing.T) {
	t.Parallel()
	a := &API{log: slog.New(slog.DiscardHandler)}
	for name, path := range map[string]string{
		"characters that JSON escapes": "/" + strings.Repeat("&", 16000),
		"escaped bytes":                "/" + strings.Repeat("%26", 5000),
		"more of them":                 "/a" + strings.Repeat("%26", 5000),
		"most of them":                 "/ab" + strings.Repeat("%26", 5000),
		"bytes that URLs escape":       "/" + strings.Repeat("\xff", 16000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
			whole := r.URL.EscapedPath()
			w := httptest.NewRecorder()
			a.writeProblem(w, r, errNotFound())
			if w.Body.Len() > 4<<10 {
				t.Errorf("the answer has %d bytes", w.Body.Len())
			}
			var p problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatal(err)
			}
			if _, err := url.ParseRequestURI(p.Instance); err != nil || len(p.Instance) < 500 || !strings.HasPrefix(whole, p.Instance) {
				t.Errorf("instance is %q, %v", p.Instance, err)
			}
		})
	}
}
