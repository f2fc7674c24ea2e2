package docspage

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// File is content that does not change while the process runs. Create it with NewFile.
type File struct {
	mediaType  string
	plain      func() ([]byte, error)
	compressed []byte // the content with gzip; nil if there is none
	etag       string // without quotes
}

// partBytes is the size of a write. All clients share the content, so a slow client needs memory for one part only.
const partBytes = 4 << 10

// NewFile returns a File that sends content without compression.
func NewFile(mediaType string, content []byte) *File {
	return &File{mediaType: mediaType, plain: func() ([]byte, error) { return content, nil }, etag: hash(content)}
}

// newCompressed returns a File of gzip content. The content is decompressed once, for the first client that does not accept gzip. Such
// clients are rare.
func newCompressed(mediaType string, compressed []byte) *File {
	return &File{
		mediaType: mediaType, compressed: compressed, etag: hash(compressed),
		plain: sync.OnceValues(func() ([]byte, error) { return unpack(compressed) }),
	}
}

func hash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:16])
}

func unpack(compressed []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, fmt.Errorf("unpack a file of the docs page: %w", err)
	}
	content, err := io.ReadAll(reader)
	if err != nil {
		return nil, fmt.Errorf("unpack a file of the docs page: %w", err)
	}
	return content, nil
}

// ETag returns the entity tag of the encoding that the client accepts.
func (f *File) ETag(request http.Header) string {
	if f.compressed != nil && acceptsGzip(request) {
		return strconv.Quote(f.etag + "-gzip")
	}
	return strconv.Quote(f.etag)
}

// Send sends the file, or status 304 if notModified returns true for the file's entity tag. A client may cache the file, but must
// revalidate it each time, so that a new release is visible immediately. Errors: the content can't be decompressed.
func (f *File) Send(w http.ResponseWriter, r *http.Request, notModified func(etag string) bool) error {
	content, err := f.choose(w.Header(), r.Header)
	if err != nil {
		return err
	}
	etag := f.ETag(r.Header)
	w.Header().Set("ETag", etag)
	w.Header().Set("Cache-Control", "no-cache")
	if notModified(etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("Content-Type", f.mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(http.StatusOK)
	for part := range slices.Chunk(content, partBytes) {
		if _, err := w.Write(part); err != nil {
			break // the client has closed the connection
		}
	}
	return nil
}

// choose returns the content in an encoding that the client accepts.
func (f *File) choose(response, request http.Header) (content []byte, err error) {
	if f.compressed == nil {
		return f.plain()
	}
	response.Set("Vary", "Accept-Encoding")
	if !acceptsGzip(request) {
		return f.plain()
	}
	response.Set("Content-Encoding", "gzip")
	return f.compressed, nil
}

// acceptsGzip reports whether Accept-Encoding allows gzip (RFC 9110 section 12.5.3).
func acceptsGzip(h http.Header) bool {
	accepts := map[string]bool{}
	for item := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		coding, params, _ := strings.Cut(strings.ToLower(item), ";")
		weight, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(params), "q="), 64)
		accepts[strings.TrimSpace(coding)] = err != nil || weight > 0
	}
	if gzip, named := accepts["gzip"]; named {
		return gzip
	}
	return accepts["*"]
}
