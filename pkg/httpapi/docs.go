package httpapi

import (
	"net/http"
	"strings"
	"sync"

	"github.com/julienschmidt/httprouter"

	"user-service/api"
	"user-service/pkg/httpapi/docspage"
	"user-service/pkg/user"
)

// descriptionOf returns a function that returns api/openapi.yaml as a JSON file, with the limits in force. The function converts
// once.
func descriptionOf(users *user.Service) func() (*docspage.File, error) {
	return sync.OnceValues(func() (*docspage.File, error) {
		content, err := api.OpenAPIJSON(api.Limits{PasswordMinLength: users.PasswordMinLength()})
		if err != nil {
			return nil, err
		}
		return docspage.NewFile(mediaJSON, content), nil
	})
}

func (a *API) openAPI(w http.ResponseWriter, c *call) error {
	file, err := a.description()
	if err != nil {
		return err
	}
	return send(file, w, c.Request)
}

// root redirects to the page on which users can try the API. The reference is relative, so it works below any prefix.
func (a *API) root(w http.ResponseWriter, _ *call) error {
	w.Header().Set("Location", "docs")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// docs sends the page on which users can try the API.
func (a *API) docs(w http.ResponseWriter, c *call) error {
	return sendPage(docspage.Page(), w, c.Request)
}

// docsFile sends a reference page, or a file that the pages load.
func (a *API) docsFile(w http.ResponseWriter, c *call) error {
	name := strings.TrimPrefix(httprouter.ParamsFromContext(c.Context()).ByName("file"), "/")
	if page, found := docspage.FindPage(name); found {
		return sendPage(page, w, c.Request)
	}
	file, found := docspage.Find(name)
	if !found {
		return errNotFound()
	}
	return send(file, w, c.Request)
}

// sendPage sends a page with its policies. They allow the page to load only this service's files, and forbid other sites
// to embed the page.
func sendPage(page *docspage.File, w http.ResponseWriter, r *http.Request) error {
	if conditionsOf(r).match(page.ETag(r.Header)) {
		w.Header().Set("Content-Security-Policy", docspage.ContentSecurityPolicy)
		w.Header().Set("Referrer-Policy", "no-referrer")
	}
	return send(page, w, r)
}

// send sends a file under the conditions of the request. Errors: PreconditionFailed, the errors of docspage.File.Send.
func send(file *docspage.File, w http.ResponseWriter, r *http.Request) error {
	cond := conditionsOf(r)
	if !cond.match(file.ETag(r.Header)) {
		return errChanged()
	}
	return file.Send(w, r, cond.notModified)
}
