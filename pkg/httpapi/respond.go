package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"user-service/pkg/user"
)

// writeJSON answers with value. The status is sent only when value is encoded.
func writeJSON(w http.ResponseWriter, status int, value any) error {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // a client that went away misses its answer
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
