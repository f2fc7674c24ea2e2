package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"user-service/pkg/user"
)

// writeJSON answers with value. The status is sent only when value is encoded.
func writeJSON(w http.ResponseWriter, status int, value any) error {
	var body strings.Builder
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body.String())) // a client that went away misses its answer
	return nil
}

// noStore keeps tokens and personal data out of caches.
func noStore(w http.ResponseWriter) { w.Header().Set("Cache-Control", "no-store") }

// writeUser answers with a user and its ETag.
func writeUser(w http.ResponseWriter, status int, u user.User) error {
	noStore(w)
	w.Header().Set("ETag", etag(u.Version))
	return writeJSON(w, status, u)
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// ifMatch returns the condition of the If-Match header, or nil without one (RFC 9110
// section 13.1.1: compared strongly).
func ifMatch(r *http.Request) user.Precondition {
	tags := entityTags(r.Header.Values("If-Match"))
	if tags == nil {
		return nil
	}
	return func(version int64) bool {
		return slices.Contains(tags, "*") || slices.Contains(tags, etag(version))
	}
}

// noneMatch reports whether the If-None-Match header lets the answer be sent (RFC 9110
// section 13.1.2: compared weakly).
func noneMatch(r *http.Request, current string) bool {
	tags := entityTags(r.Header.Values("If-None-Match"))
	return !slices.ContainsFunc(tags, func(tag string) bool {
		return tag == "*" || strings.TrimPrefix(tag, "W/") == current
	})
}

// entityTags splits header lines at commas; the service's own tags have none inside.
func entityTags(lines []string) []string {
	var tags []string
	for _, line := range lines {
		for tag := range strings.SplitSeq(line, ",") {
			tags = append(tags, strings.TrimSpace(tag))
		}
	}
	return tags
}
