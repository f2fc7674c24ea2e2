package httpapi

import (
	"net/http"
	"strconv"
)

// keysCacheControl allows clients to cache the keys for 5 minutes. An operator who rotates a key must wait longer than 5 minutes between
// publishing the key and signing with it.
const keysCacheControl = "public, max-age=300"

// keys sends the public keys that verify access tokens (RFC 7517 section 5).
func (a *API) keys(w http.ResponseWriter, c *call) error {
	set := a.users.PublicKeys()
	tag := tagOf(set)
	cond := conditionsOf(c.Request)
	if !cond.match(tag) {
		return errChanged()
	}
	w.Header().Set("Cache-Control", keysCacheControl)
	w.Header().Set("ETag", tag)
	if cond.notModified(tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Content-Length", strconv.Itoa(len(set)))
	_, _ = w.Write(set) // fails only if the client has closed the connection
	return nil
}
