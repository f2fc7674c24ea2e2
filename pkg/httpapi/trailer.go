package httpapi

import (
	"io"
	"net/http"
)

// withoutTrailer forgets the trailers of requests, which no handler reads: net/http makes up to 1,300 fields of one, beside the bound of
// header lines, and would keep them until the client has read the response.
func withoutTrailer(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Trailer = nil           // the names that the header has announced
		if r.ContentLength >= 0 { // only a body in chunks has a trailer
			handler.ServeHTTP(w, r)
			return
		}
		own := r.WithContext(r.Context()) // net/http looks at the body of its request again, and sets the trailer of that one
		own.Body = &trailerlessBody{r.Body, r}
		handler.ServeHTTP(w, own)
	})
}

// trailerlessBody is the body of a request of net/http.
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
