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
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"user-service/pkg/telemetry"
)

// validRequestID is the format of a client's own request id. An id in another format is replaced with a new id.
var validRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// observe adds to a route what every request gets: a request id, a trace, a log line, metrics, and a problem document after a panic.
// path is the route's pattern, not the path of the request, because metrics must not have unlimited label values. path is empty if no
// route has matched.
func (a *API) observe(path string, next http.Handler) http.Handler {
	pattern := paramName.ReplaceAllString(path, "{$1}")
	traced := a.trace(pattern, a.record(pattern, a.recoverPanics(next)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = withRequestID(w, r)
		r.Pattern = pattern // otelhttp uses it for the name of the span
		w.Header().Set("X-Content-Type-Options", "nosniff")
		traced.ServeHTTP(w, r)
	})
}

// trace gives each request a span, if OpenTelemetry records spans. Otherwise it only passes on the trace of a trusted client. Without spans,
// otelhttp took 12 % of the allocations of GET /users/me.
func (a *API) trace(pattern string, next http.Handler) http.Handler {
	if _, span := otel.Tracer("").Start(context.Background(), ""); span.SpanContext().IsValid() && !isProbe(pattern) {
		return otelhttp.NewHandler(next, pattern, otelhttp.WithSpanNameFormatter(spanName), otelhttp.WithPublicEndpointFn(a.isPublic))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header["Traceparent"]) > 0 && !isProbe(pattern) && !a.isPublic(r) {
			r = r.WithContext(otel.GetTextMapPropagator().Extract(r.Context(), propagation.HeaderCarrier(r.Header)))
		}
		next.ServeHTTP(w, r)
	})
}

// isPublic reports whether a request comes from outside of TRUSTED_PROXIES. The service then starts a trace of its own and links the
// traceparent of the request. So an untrusted client decides neither about sampling nor about the trace id of events (W3C Trace
// Context, section 5.2.1).
func (a *API) isPublic(r *http.Request) bool {
	peer, _ := parseAddr(r.RemoteAddr)
	return !isTrusted(peer, a.cfg.TrustedProxies)
}

// isProbe reports whether a route is one of the probes. They have no traces and no log lines, because they are frequent: Health logs each
// change of readiness.
func isProbe(pattern string) bool { return pattern == "/healthz" || pattern == "/readyz" }

// record reports each request to the metrics and the log, with its duration.
func (a *API) record(pattern string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		done := a.observer.RequestStarted(r.Context(), r.Method)
		recorder := &statusRecorder{ResponseWriter: w, ctx: r.Context(), status: http.StatusOK, body: watchBody(r)}
		next.ServeHTTP(recorder, r)
		done(pattern, recorder.status)
		if isProbe(pattern) {
			return
		}
		a.logRequest(r, pattern, recorder, time.Since(started))
	})
}

// logRequest adds the line of a request to the log. It does not find out its place in the code, as the methods of slog.Logger do.
func (a *API) logRequest(r *http.Request, pattern string, response *statusRecorder, took time.Duration) {
	handler := a.log.Handler()
	if !handler.Enabled(r.Context(), slog.LevelInfo) {
		return
	}
	line := slog.NewRecord(time.Now(), slog.LevelInfo, "request", 0)
	line.AddAttrs(slog.String("method", r.Method), slog.String("route", pattern), slog.Int("status", response.status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000), slog.Int("bytes", response.bytes))
	_ = handler.Handle(r.Context(), line) // as slog.Logger does
}

// paramName matches the parameters in patterns of httprouter. OpenAPI and OpenTelemetry write {id} instead of :id.
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

// recoverPanics responds with a problem document when a handler panics.
func (a *API) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				a.writeProblem(w, r, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// rejectEncodedSlashes responds with 404 to a path with an escaped slash or two consecutive slashes. A gateway and the router might
// interpret such a path differently. Paths below /verify/ are exempt: the part after /verify is the path of the request that a gateway
// checks, and the service ignores this part.
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

// statusRecorder is an http.ResponseWriter that records the status and the number of bytes.
type statusRecorder struct {
	http.ResponseWriter
	ctx         context.Context //nolint:containedctx // the context of its request
	status      int
	bytes       int
	wroteHeader bool
	body        *watchedBody
}

// WriteHeader implements http.ResponseWriter.
func (s *statusRecorder) WriteHeader(status int) {
	if !s.wroteHeader {
		s.status = status
		s.beginResponse()
	}
	s.ResponseWriter.WriteHeader(status)
}

// beginResponse runs before the first byte of the response. To reuse the connection, net/http first reads the rest of the body, for up to
// readTimeout. beginResponse shortens that time to unreadTimeout. If the body is large or of unknown length, beginResponse makes net/http
// close the connection instead, because reading the body would need memory.
func (s *statusRecorder) beginResponse() {
	s.wroteHeader = true
	if s.body != nil && !s.body.ended {
		if s.body.declared < 0 || s.body.declared > smallBody {
			s.Header().Set("Connection", "close")
		}
		_ = waitForClient(s.ctx) // until the state of the connection changes
		_ = http.NewResponseController(s.ResponseWriter).SetReadDeadline(time.Now().Add(unreadTimeout))
	}
}

// Write implements http.ResponseWriter.
func (s *statusRecorder) Write(p []byte) (int, error) {
	if !s.wroteHeader {
		s.beginResponse()
	}
	defer trackResponse(s.ctx, len(p))()
	n, err := s.ResponseWriter.Write(p)
	s.bytes += n
	return n, err
}

// Unwrap returns the wrapped writer, for http.ResponseController.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// watchedBody is a request body that records whether it was read completely.
type watchedBody struct {
	io.ReadCloser
	declared int64 // Content-Length
	ended    bool
}

// watchBody replaces the body of a request with a watchedBody, and returns the watchedBody; nil if the request has no body.
func watchBody(r *http.Request) *watchedBody {
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
