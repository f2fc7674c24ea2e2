package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"user-service/pkg/user"
)

// writeJSON sends value as JSON. It sends the status only after the encoding has succeeded. Errors: value can't be encoded.
func writeJSON(w http.ResponseWriter, status int, value any) error {
	body, err := encodeJSON(value)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails only if the client has closed the connection
	return nil
}

// encodeJSON returns the JSON of value with a newline at the end. Errors: value can't be encoded.
func encodeJSON(value any) ([]byte, error) {
	var body bytes.Buffer
	if err := encoder(&body).Encode(value); err != nil {
		return nil, fmt.Errorf("encode the response: %w", err)
	}
	return body.Bytes(), nil
}

// encoder returns an encoder that does not escape the characters of HTML. The service sends JSON only as a body with a JSON media type.
func encoder(w io.Writer) *json.Encoder {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc
}

// noStore keeps tokens and personal data out of caches.
func noStore(w http.ResponseWriter) { w.Header().Set("Cache-Control", "no-store") }

// writeUser sends a user and its ETag.
func writeUser(w http.ResponseWriter, status int, u user.User) error {
	noStore(w)
	w.Header().Set("ETag", etag(u.Version))
	return writeJSON(w, status, u)
}
