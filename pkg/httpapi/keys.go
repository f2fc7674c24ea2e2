package httpapi

import (
	"net/http"
	"strconv"
)

// keysPolicy lets everybody keep the keys for a while, since a key is published before it
// signs. Who rotates one waits for longer than this between the two.
const keysPolicy = "public, max-age=300"

// keys answers with the keys that verify access tokens (RFC 7517 section 5).
func (a *API) keys(w http.ResponseWriter, c *call) error {
	set := a.users.PublicKeys()
	tag := tagOf(set)
	w.Header().Set("Cache-Control", keysPolicy)
	w.Header().Set("ETag", tag)
	if !conditionsOf(c.Request).noneMatch(tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Content-Length", strconv.Itoa(len(set)))
	_, _ = w.Write(set) // a client that went away misses its answer
	return nil
}
