package httpapi

import (
	"io"
	"net/http"
)

// withoutTrailer drops the trailers of requests, because no handler reads them. The limit of header lines does not apply to a trailer. A
// trailer can have 1,300 fields, which would stay in memory until the client has read the response.
func withoutTrailer(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Trailer = nil           // the names in the Trailer field of the header
		if r.ContentLength >= 0 { // only a chunked body has a trailer
			handler.ServeHTTP(w, r)
			return
		}
		own := r.WithContext(r.Context()) // r must keep its body: net/http uses it after the handler
		own.Body = &trailerlessBody{r.Body, r}
		handler.ServeHTTP(w, own)
	})
}

// trailerlessBody is the body of a request. It drops the trailer that net/http sets during reads.
type trailerlessBody struct {
	io.ReadCloser
	request *http.Request
}

// Read implements io.Reader.
func (b *trailerlessBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.request.Trailer = nil
	return n, err
}
