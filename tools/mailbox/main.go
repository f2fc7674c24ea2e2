// The program mailbox shows the mails that user-service mail has written to a folder, for make run. It also serves the pages of the links
// in these mails, for a service without an application.
package main

import (
	"embed"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

//go:embed pages
var pages embed.FS

// links are the pages of links in mails, and the requests to which the pages send tokens.
var links = map[string]string{
	"verify-email":   "email-verification/confirm",
	"reset-password": "password-reset/confirm",
	"invitation":     "invitation/confirm",
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8025", "the address of the pages; without a host, 127.0.0.1")
	folder := flag.String("folder", "mails", "the folder with the mails")
	api := flag.String("api", "http://localhost:8080", "the API of the service")
	flag.Parse()
	if err := run(*addr, *folder, *api); err != nil {
		fmt.Fprintln(os.Stderr, "mailbox:", err)
		os.Exit(1)
	}
}

func run(addr, folder, api string) error {
	target, err := url.Parse(api)
	if err != nil || target.Host == "" {
		return errors.New("-api is not a URL")
	}
	if strings.HasPrefix(addr, ":") {
		addr = "127.0.0.1" + addr
	}
	server := &http.Server{Addr: addr, Handler: handler(folder, target), ReadHeaderTimeout: 5 * time.Second}
	return server.ListenAndServe()
}

// handler serves the list of mails, the mails, and the pages of their links.
func handler(folder string, api *url.URL) http.Handler {
	templates := template.Must(template.ParseFS(pages, "pages/*.html"))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		mails, err := list(folder)
		show(w, templates, "list.html", map[string]any{"Mails": mails, "Folder": folder, "Error": err})
	})
	mux.HandleFunc("GET /mails/{id}", func(w http.ResponseWriter, r *http.Request) {
		m, err := read(filepath.Join(folder, filepath.Base(r.PathValue("id"))+".eml"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(m.HTML))
	})
	for page, request := range links {
		mux.HandleFunc("GET /"+page, func(w http.ResponseWriter, _ *http.Request) {
			show(w, templates, "link.html", map[string]any{"Request": "/" + request, "NeedsPassword": page != "verify-email"})
		})
		mux.Handle("POST /"+request, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(api) }})
	}
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.Handle("GET /pages/link.js", http.FileServerFS(pages))
	return protected(mux)
}

// protected refuses requests whose Host is not localhost. Otherwise a page of another site could read the tokens in the mails (DNS
// rebinding). It also forbids content of other sites.
func protected(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil || host != "localhost" && host != "127.0.0.1" {
			http.Error(w, "use http://localhost", http.StatusForbidden)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy",
			"default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'; form-action "+
				"'none'")
		h.Set("Referrer-Policy", "no-referrer")
		if strings.HasSuffix(r.URL.Path, ".js") {
			h.Set("Content-Type", "text/javascript")
		}
		next.ServeHTTP(w, r)
	})
}

func show(w http.ResponseWriter, templates *template.Template, name string, data any) {
	if err := templates.ExecuteTemplate(w, name, data); err != nil {
		fmt.Fprintln(os.Stderr, "mailbox:", err)
	}
}

// list returns the mails of the folder, newest first.
func list(folder string) ([]mail, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.eml"))
	if err != nil {
		return nil, err
	}
	var mails []mail
	for _, file := range files {
		m, err := read(file)
		if err != nil {
			return nil, err
		}
		mails = append(mails, m)
	}
	slices.SortFunc(mails, func(a, b mail) int { return b.Date.Compare(a.Date) })
	return mails, nil
}
