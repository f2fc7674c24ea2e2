package httpapi

import (
	"net/http"
	"strconv"
)

// publicCacheControl allows clients to cache the keys for 5 minutes. An operator who rotates a key must wait longer than 5 minutes between
// publishing the key and signing with it.
const publicCacheControl = "public, max-age=300"

// keys sends the public keys that verify access tokens (RFC 7517 section 5).
func (a *API) keys(w http.ResponseWriter, c *call) error {
	return writePublic(w, c, "application/jwk-set+json", a.users.PublicKeys())
}

// writePublic sends content that everybody may read and cache. Errors: PreconditionFailed.
func writePublic(w http.ResponseWriter, c *call, mediaType string, content []byte) error {
	tag := tagOf(content)
	cond := conditionsOf(c.Request)
	if !cond.match(tag) {
		return errChanged()
	}
	w.Header().Set("Cache-Control", publicCacheControl)
	w.Header().Set("ETag", tag)
	if cond.notModified(tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = w.Write(content) // fails only if the client has closed the connection
	return nil
}
