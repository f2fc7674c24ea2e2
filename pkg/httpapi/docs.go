package httpapi

import (
	"net/http"
	"strings"
	"sync"

	"github.com/julienschmidt/httprouter"

	"user-service/api"
	"user-service/pkg/httpapi/docspage"
)

// description returns api/openapi.yaml as a JSON file.
var description = sync.OnceValues(func() (*docspage.File, error) {
	content, err := api.OpenAPIJSON()
	if err != nil {
		return nil, err
	}
	return docspage.NewFile(mediaJSON, content), nil
})

func (a *API) openAPI(w http.ResponseWriter, c *call) error {
	file, err := description()
	if err != nil {
		return err
	}
	return send(file, w, c.Request)
}

// docs sends the page on which users can try the API. The Content-Security-Policy allows the page to load only files of this service, and
// forbids other sites to embed the page.
func (a *API) docs(w http.ResponseWriter, c *call) error {
	page := docspage.Page()
	if conditionsOf(c.Request).match(page.ETag(c.Header)) {
		w.Header().Set("Content-Security-Policy", docspage.ContentSecurityPolicy)
		w.Header().Set("Referrer-Policy", "no-referrer")
	}
	return send(page, w, c.Request)
}

// docsFile sends a file that the page loads.
func (a *API) docsFile(w http.ResponseWriter, c *call) error {
	path := httprouter.ParamsFromContext(c.Context()).ByName("file")
	file, found := docspage.Find(strings.TrimPrefix(path, "/"))
	if !found {
		return errNotFound()
	}
	return send(file, w, c.Request)
}

// send sends a file under the conditions of the request. Errors: PreconditionFailed, the errors of docspage.File.Send.
func send(file *docspage.File, w http.ResponseWriter, r *http.Request) error {
	cond := conditionsOf(r)
	if !cond.match(file.ETag(r.Header)) {
		return errChanged()
	}
	return file.Send(w, r, cond.notModified)
}
