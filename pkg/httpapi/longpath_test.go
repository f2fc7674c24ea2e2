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

// TestALongPathIsTruncated checks that a problem document contains only the beginning of a long path. In JSON, a path can be six times as
// long.
func TestALongPathIsTruncated(t *testing.T) {
	t.Parallel()
	a := &API{log: slog.New(slog.DiscardHandler)}
	for name, path := range map[string]string{
		"characters that JSON escapes": "/" + strings.Repeat("&", 16000),
		"escaped bytes":                "/" + strings.Repeat("%26", 5000),
		"escaped bytes, one later":     "/a" + strings.Repeat("%26", 5000),
		"escaped bytes, two later":     "/ab" + strings.Repeat("%26", 5000),
		"bytes that URLs escape":       "/" + strings.Repeat("\xff", 16000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
			whole := r.URL.EscapedPath()
			w := httptest.NewRecorder()
			a.writeProblem(w, r, errNotFound())
			if w.Body.Len() > 4<<10 {
				t.Errorf("the response has %d bytes, want at most %d", w.Body.Len(), 4<<10)
			}
			var p problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatal(err)
			}
			if _, err := url.ParseRequestURI(p.Instance); err != nil || len(p.Instance) < 500 || !strings.HasPrefix(whole, p.Instance) {
				t.Errorf("instance is %q (error %v), want a valid prefix of the path with at least 500 bytes", p.Instance, err)
			}
		})
	}
}
