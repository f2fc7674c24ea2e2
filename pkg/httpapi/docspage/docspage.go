// Package docspage has the page to read and try the API, which uses Swagger UI, and reference pages about events and problems. All pages
// are embedded in the binary. The pages load nothing from other sites.
package docspage

import (
	"embed"

	"github.com/swaggest/swgui/v5/static"
)

// ContentSecurityPolicy allows only what the pages need (CSP level 3). Scripts and styles must be files of this package. Images must be
// files of this package or data URLs, which the style sheet contains.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const mediaHTML = "text/html; charset=utf-8"

//go:embed *.html *.css *.js
var own embed.FS

var page = NewFile(mediaHTML, mustReadOwn("index.html"))

// pages are the reference pages, by the last element of their paths. The program tools/reference generates them.
var pages = map[string]*File{
	"events":   NewFile(mediaHTML, mustReadOwn("events.html")),
	"problems": NewFile(mediaHTML, mustReadOwn("problems.html")),
}

// files are the files that the pages load, by the last element of their paths.
var files = map[string]*File{
	"init.js":              NewFile("text/javascript; charset=utf-8", mustReadOwn("init.js")),
	"page.css":             NewFile("text/css; charset=utf-8", mustReadOwn("page.css")),
	"swagger-ui-bundle.js": newCompressed("text/javascript; charset=utf-8", mustRead("swagger-ui-bundle.js.gz")),
	"swagger-ui.css":       newCompressed("text/css; charset=utf-8", mustRead("swagger-ui.css.gz")),
	"favicon-32x32.png":    NewFile("image/png", mustRead("favicon-32x32.png")),
}

// Page returns the page. Serve it at /docs, below any prefix.
func Page() *File { return page }

// FindPage returns the reference page with this name. Serve it at docs/ and its name.
func FindPage(name string) (page *File, found bool) {
	page, found = pages[name]
	return page, found
}

// Find returns the file that the pages load from docs/ by this name.
func Find(name string) (file *File, found bool) {
	file, found = files[name]
	return file, found
}

// mustReadOwn returns a file of this package. It panics if the name is wrong.
func mustReadOwn(name string) []byte {
	content, err := own.ReadFile(name)
	if err != nil {
		panic("docspage: " + err.Error())
	}
	return content
}

// mustRead returns an embedded file of Swagger UI. It panics if the name is wrong.
func mustRead(name string) []byte {
	content, err := static.FS.ReadFile(name)
	if err != nil {
		panic("docspage: " + err.Error())
	}
	return content
}
