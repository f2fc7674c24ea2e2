// Package docspage is a page to read and try the API: Swagger UI, embedded, with nothing
// loaded from elsewhere.
package docspage

import (
	_ "embed"

	"github.com/swaggest/swgui/v5/static"
)

// ContentSecurityPolicy is what the page needs and no more (CSP level 3). Scripts and styles
// come from files of this package only; images may be part of the style sheet.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed index.html
var index []byte

//go:embed init.js
var script []byte

var page = NewFile("text/html; charset=utf-8", index)

// files are what the page loads, by the last element of their paths.
var files = map[string]*File{
	"init.js":              NewFile("text/javascript; charset=utf-8", script),
	"swagger-ui-bundle.js": newCompressed("text/javascript; charset=utf-8", bundled("swagger-ui-bundle.js.gz")),
	"swagger-ui.css":       newCompressed("text/css; charset=utf-8", bundled("swagger-ui.css.gz")),
	"favicon-32x32.png":    NewFile("image/png", bundled("favicon-32x32.png")),
}

// Page returns the page. It is made to be served at /docs, below whatever prefix.
func Page() *File { return page }

// Find returns the file that the page loads from docs/ under this name.
func Find(name string) (file *File, found bool) {
	file, found = files[name]
	return file, found
}

// bundled reads a file of Swagger UI. That it is there is sure at compile time, but for its name.
func bundled(name string) []byte {
	content, err := static.FS.ReadFile(name)
	if err != nil {
		panic("docspage: " + err.Error())
	}
	return content
}
