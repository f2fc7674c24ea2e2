// Package httpapi is the REST interface: routes, handlers, and the format of requests and responses. Package user has the rules of
// accounts.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/julienschmidt/httprouter"

	"user-service/pkg/access"
	"user-service/pkg/httpapi/docspage"
	"user-service/pkg/user"
)

// Config configures the API.
type Config struct {
	DocsEnabled    bool           // serve the OpenAPI description and a page to try the API
	TrustedProxies []netip.Prefix // networks of the proxies whose X-Forwarded-For is believed
	// RateLimitPerMinute limits the anonymous POSTs of each client address; 0 means no limit.
	RateLimitPerMinute int
	// AccountRateLimitPerMinute limits the requests of each account that change data; a hash counts as ten. 0 means no limit.
	AccountRateLimitPerMinute int
	Issuer                    string // The iss claim of tokens. If it is a URL, the API serves the metadata of RFC 8414.
}

// Observer receives what the API reports to metrics. Its methods must not block.
type Observer interface {
	// RequestStarted reports a request. The API calls done after the response.
	RequestStarted(ctx context.Context, method string) (done func(route string, status int))
	// Authorized reports a request that passed the authorization of its route. caller is "anonymous", "user" or "workload".
	Authorized(caller string)
	// LoginDone reports the result of a login: "success" or the name of a problem type.
	LoginDone(result string)
	// RefreshDone reports the result of a refresh: "success" or the name of a problem type.
	RefreshDone(result string)
	// RateLimited reports a request that a limit has refused; policy is the name of the limit.
	RateLimited(policy string)
}

// API handles the requests of the service. Create it with New.
type API struct {
	cfg      Config
	users    *user.Service
	health   *Health
	quotas   quotas
	bodies   *bodies
	denials  *denials
	observer Observer
	log      *slog.Logger

	description func() (*docspage.File, error) // the OpenAPI description
}

// Limits of the server. Each limit protects the server from clients that occupy memory or connections.
const (
	maxHeader = 16 << 10        // bytes
	maxDepth  = user.MaxNesting // levels of nested JSON

	headerTimeout = 5 * time.Second
	readTimeout   = 15 * time.Second       // to read header and body
	unreadTimeout = 250 * time.Millisecond // for discarding an unread body before the response
	writeTimeout  = 30 * time.Second

	// idleTimeout is longer than the idle timeout of gateways, because a gateway must be the first to close an idle connection.
	idleTimeout = 2 * time.Minute
	// requestTimeout does not include the time for receiving the body.
	requestTimeout = 1800 * time.Millisecond
)

// New returns the API of the service.
func New(cfg Config, users *user.Service, health *Health, observer Observer, log *slog.Logger) *API {
	return &API{
		cfg: cfg, users: users, health: health, quotas: newQuotas(cfg), bodies: newBodies(maxBodies), observer: observer, log: log,
		denials:     newDenials(users.RecordDenial, log),
		description: descriptionOf(users),
	}
}

// Handler returns the handler of every request to the API.
func (a *API) Handler() http.Handler {
	router := newRouter()
	for _, r := range a.routes() {
		served := a.observe(r.path, a.serve(r))
		router.Handler(r.method, r.path, served)
		if r.method == http.MethodGet {
			router.Handler(http.MethodHead, r.path, served) // net/http omits the body
		}
	}
	router.NotFound = a.observe("", a.failWith(errNotFound()))
	router.GlobalOPTIONS = a.observe("", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent) // the router has set Allow
	}))
	router.MethodNotAllowed = a.otherMethods()
	return rejectEncodedSlashes(router)
}

// otherMethods serves requests whose method has no route. /verify and the paths below it accept any method, because a gateway may send the
// method of the original request, such as PROPFIND.
func (a *API) otherMethods() http.Handler {
	verify := a.observe(verifyPattern, a.serve(route{http.MethodGet, verifyPattern, access.AnyCaller(), uncounted, a.verify}))
	verifyPath := a.observe(verifyPathPattern,
		a.serve(route{http.MethodGet, verifyPathPattern, access.AnyCaller(), uncounted, a.verifyPath}))
	refused := a.observe("", a.failWith(errMethod()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == verifyPattern:
			w.Header().Del("Allow") // set by the router
			verify.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, verifyPattern+"/"):
			w.Header().Del("Allow")
			verifyPath.ServeHTTP(w, r)
		default:
			refused.ServeHTTP(w, r)
		}
	})
}

// newRouter returns a router that never redirects: a path that differs by a slash or by case is unknown.
func newRouter() *httprouter.Router {
	router := httprouter.New()
	router.RedirectTrailingSlash = false
	router.RedirectFixedPath = false
	return router
}

// Server returns an HTTP server for handler, with the limits of this package. The server's own messages are logged at debug level.
func Server(addr string, handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// BodyBytes returns the number of bytes that request bodies reserve at present, which is at most maxBodies.
func (a *API) BodyBytes() int64 { return a.bodies.used.Load() }
