package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/julienschmidt/httprouter"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/trace"

	"user-service/pkg/telemetry"
)

// validRequestID is what a caller's own request id has to look like to be taken over.
var validRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// observe surrounds a route with what every request gets: an id, a trace, a line in the
// log, its place in the metrics, and a problem document if it panics. path is the route's
// pattern, never what was asked for, which is as endless as users are; it is empty where no
// route matched.
func (a *API) observe(path string, next http.Handler) http.Handler {
	pattern := paramName.ReplaceAllString(path, "{$1}")
	traced := otelhttp.NewHandler(a.dropForeignTrace(a.record(pattern, a.recoverPanics(next))), pattern,
		otelhttp.WithSpanNameFormatter(spanName), otelhttp.WithPublicEndpointFn(a.isPublic))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = withRequestID(w, r)
		r.Pattern = pattern // otelhttp names the span by it
		w.Header().Set("X-Content-Type-Options", "nosniff")
		traced.ServeHTTP(w, r)
	})
}

// isPublic reports whether a request comes from outside of TRUSTED_PROXIES. Its traceparent is then a link of a
// trace of the service's own: a stranger decides neither what is recorded nor the trace id that events carry (W3C Trace
// Context, section 5.2.1).
func (a *API) isPublic(r *http.Request) bool {
	peer, _ := parseAddr(r.RemoteAddr)
	return !isTrusted(peer, a.cfg.TrustedProxies)
}

// dropForeignTrace drops the trace of a stranger where no traces are recorded: then there is no span of the service's own, and
// OpenTelemetry would hand on that of the request.
func (a *API) dropForeignTrace(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if trace.SpanContextFromContext(r.Context()).IsRemote() && a.isPublic(r) {
			r = r.WithContext(trace.ContextWithSpanContext(r.Context(), trace.SpanContext{}))
		}
		next.ServeHTTP(w, r)
	})
}

// record counts, times and logs each request.
func (a *API) record(pattern string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		done := a.observer.RequestStarted(r.Context(), r.Method)
		recorder := &statusRecorder{ResponseWriter: w, ctx: r.Context(), status: http.StatusOK, body: watch(r)}
		next.ServeHTTP(recorder, r)
		done(pattern, recorder.status)
		level := slog.LevelInfo
		if pattern == "/healthz" || pattern == "/readyz" {
			level = slog.LevelDebug // probes ask all day
		}
		a.log.Log(r.Context(), level, "request", "method", r.Method, "route", pattern, "status", recorder.status,
			"duration_ms", float64(time.Since(started).Microseconds())/1000, "bytes", recorder.bytes)
	})
}

// paramName finds the parameters of httprouter's patterns; OpenAPI and OpenTelemetry write {id}.
var paramName = regexp.MustCompile(`[:*]([a-z_]+)`)

func spanName(_ string, r *http.Request) string { return strings.TrimSpace(r.Method + " " + r.Pattern) }

func withRequestID(w http.ResponseWriter, r *http.Request) *http.Request {
	id := r.Header.Get("X-Request-Id")
	if !validRequestID.MatchString(id) {
		id = uuid.NewString()
	}
	w.Header().Set("X-Request-Id", id)
	return r.WithContext(telemetry.WithRequestID(r.Context(), id))
}

// recoverPanics answers a request whose handler panicked, and keeps the others alive.
func (a *API) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				a.fail(w, r, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// rejectEncodedSlashes answers 404 to a path with an escaped slash, or two in a row: what decides by the
// path in front of the service and the router behind it would not see the same path. What a gateway puts
// behind /verify/ is of the application, and decides nothing here.
func rejectEncodedSlashes(next *httprouter.Router) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.ToLower(r.URL.EscapedPath())
		if !strings.HasPrefix(path, "/verify/") && (strings.Contains(path, "%2f") || strings.Contains(path, "//")) {
			next.NotFound.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// statusRecorder remembers what was answered.
type statusRecorder struct {
	http.ResponseWriter
	ctx    context.Context //nolint:containedctx // that of its request
	status int
	bytes  int
	wrote  bool
	body   *watchedBody
}

// WriteHeader implements http.ResponseWriter.
func (s *statusRecorder) WriteHeader(status int) {
	if !s.wrote {
		s.status = status
		s.begin()
	}
	s.ResponseWriter.WriteHeader(status)
}

// begin is called before the first byte of the response. net/http reads the rest of the body first, to use the connection
// again, for as long as readTimeout allows, and closes the connection if it can't. A large body is not read: it would take
// memory for a refusal.
func (s *statusRecorder) begin() {
	s.wrote = true
	if s.body != nil && !s.body.ended {
		if s.body.declared < 0 || s.body.declared > smallBody {
			s.Header().Set("Connection", "close")
		}
		_ = waitForClient(s.ctx) // until the connection's state changes
		_ = http.NewResponseController(s.ResponseWriter).SetReadDeadline(time.Now().Add(unreadTimeout))
	}
}

// Write implements http.ResponseWriter.
func (s *statusRecorder) Write(p []byte) (int, error) {
	if !s.wrote {
		s.begin()
	}
	defer holdAnswer(s.ctx, len(p))()
	n, err := s.ResponseWriter.Write(p)
	s.bytes += n
	return n, err
}

// Unwrap lets http.ResponseController find the writer's other abilities.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// watchedBody notes that the body was read to its end.
type watchedBody struct {
	io.ReadCloser
	declared int64 // Content-Length
	ended    bool
}

// watch makes the body of a request a watched one; nil if it has none.
func watch(r *http.Request) *watchedBody {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	body := &watchedBody{ReadCloser: r.Body, declared: r.ContentLength}
	r.Body = body
	return body
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || errors.Is(err, io.EOF)
	return n, err
}
