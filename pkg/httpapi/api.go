// Package httpapi is the REST interface: routes, handlers, and the form of requests
// and answers. What an account is and what may happen to it is decided in package user.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/julienschmidt/httprouter"

	"user-service/pkg/user"
)

// Config says what is served.
type Config struct {
	DocsEnabled    bool           // serve the API's description and a page to try it
	TrustedProxies []netip.Prefix // whose X-Forwarded-For says where a request comes from
	// RateLimitPerMinute is how many anonymous POSTs each client address may make; 0: any number.
	RateLimitPerMinute int
	// AccountRateLimitPerMinute is how many requests that write each account may make, where a hash counts as ten; 0: any number.
	AccountRateLimitPerMinute int
}

// Observer is told of every request that was answered. Its methods must not block.
type Observer interface {
	RequestStarted(ctx context.Context, method string) (done func(route string, status int))
	// LoginDone tells how a login ended: "success", or the name of the problem that was the answer.
	LoginDone(result string)
	// RefreshDone tells the same of a refresh.
	RefreshDone(result string)
	// RateLimited is told of a request that was refused by the limit with the name policy.
	RateLimited(policy string)
}

// API answers requests. Make one with New.
type API struct {
	cfg      Config
	users    *user.Service
	health   *Health
	quotas   quotas
	bodies   *bodies
	denials  *denials
	observer Observer
	log      *slog.Logger
}

// Limits of the server, each against a kind of client that would hold it up.
const (
	maxHeader      = 16 << 10               // bytes of a request's header
	maxDepth       = user.MaxNesting        // levels of nested JSON
	headerTimeout  = 5 * time.Second        // for a client that sends its header slowly
	readTimeout    = 15 * time.Second       // … or its body
	unreadTimeout  = 250 * time.Millisecond // … or sends a body that nobody reads; its answer waits so long
	writeTimeout   = 30 * time.Second       // … or reads its answer slowly
	idleTimeout    = 2 * time.Minute        // above those of gateways, so that they close first
	requestTimeout = 1800 * time.Millisecond
)

// New returns the API of the service.
func New(cfg Config, users *user.Service, health *Health, observer Observer, log *slog.Logger) *API {
	return &API{
		cfg: cfg, users: users, health: health, quotas: newQuotas(cfg), bodies: newBodies(maxBodies), observer: observer, log: log,
		denials: newDenials(users.RecordDenial, log),
	}
}

// Handler returns the handler of every request to the API.
func (a *API) Handler() http.Handler {
	router := newRouter()
	for _, r := range a.routes() {
		served := a.observe(r.path, a.serve(r))
		router.Handler(r.method, r.path, served)
		if r.method == http.MethodGet {
			router.Handler(http.MethodHead, r.path, served) // net/http leaves out the body
		}
	}
	router.NotFound = a.observe("", a.answer(errNotFound()))
	router.GlobalOPTIONS = a.observe("", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent) // the router has set Allow
	}))
	router.MethodNotAllowed = a.observe("", a.answer(errMethod()))
	return rejectEncodedSlashes(router)
}

// newRouter returns a router that never redirects: an odd path is an unknown path.
func newRouter() *httprouter.Router {
	router := httprouter.New()
	router.RedirectTrailingSlash = false
	router.RedirectFixedPath = false
	return router
}

// Server returns a server for the handler with the limits of this package.
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

// BodyBytes returns how much of the bound of bodies is in use, in bytes.
func (a *API) BodyBytes() int64 { return a.bodies.taken.Load() }
