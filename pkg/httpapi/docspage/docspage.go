// Package docspage contains the page on which users read and try the API: Swagger UI, embedded in the binary. The page loads nothing from
// other sites.
package docspage

import (
	_ "embed"

	"github.com/swaggest/swgui/v5/static"
)

// ContentSecurityPolicy allows only what the page needs (CSP level 3). Scripts and styles must be files of this package. Images must be
// files of this package or data URLs, which the style sheet contains.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed index.html
var index []byte

//go:embed init.js
var script []byte

var page = NewFile("text/html; charset=utf-8", index)

// files are the files that the page loads, by the last element of their paths.
var files = map[string]*File{
	"init.js":              NewFile("text/javascript; charset=utf-8", script),
	"swagger-ui-bundle.js": newCompressed("text/javascript; charset=utf-8", mustRead("swagger-ui-bundle.js.gz")),
	"swagger-ui.css":       newCompressed("text/css; charset=utf-8", mustRead("swagger-ui.css.gz")),
	"favicon-32x32.png":    NewFile("image/png", mustRead("favicon-32x32.png")),
}

// Page returns the page. Serve it at /docs, below any prefix.
func Page() *File { return page }

// Find returns the file that the page loads from docs/ by this name.
func Find(name string) (file *File, found bool) {
	file, found = files[name]
	return file, found
}

// mustRead returns an embedded file of Swagger UI. It panics if the name is wrong.
func mustRead(name string) []byte {
	content, err := static.FS.ReadFile(name)
	if err != nil {
		panic("docspage: " + err.Error())
	}
	return content
}
