package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver is an OTLP/HTTP receiver that stores all spans.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	spans spanList
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		var request collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &request); err != nil {
			t.Errorf("received %s: %v", req.URL, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, resource := range request.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				r.spans = append(r.spans, scope.GetSpans()...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(r.Close)
	return r
}

// trace returns the spans of a trace.
func (r *receiver) trace(id string) spanList {
	return slices.DeleteFunc(r.all(), func(s *traces.Span) bool { return trace.TraceID(s.GetTraceId()).String() != id })
}

// all returns the received spans.
func (r *receiver) all() spanList {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans)
}

type spanList []*traces.Span

func (l spanList) find(t *testing.T, what string, is func(*traces.Span) bool) *traces.Span {
	t.Helper()
	i := slices.IndexFunc(l, is)
	if i < 0 {
		t.Fatalf("the trace has no %s: %v", what, l)
	}
	return l[i]
}

func (l spanList) named(t *testing.T, name string, kind traces.Span_SpanKind) *traces.Span {
	t.Helper()
	return l.find(t, name, func(s *traces.Span) bool { return s.GetName() == name && s.GetKind() == kind })
}

// sql returns the span of a query with this prefix.
func (l spanList) sql(t *testing.T, query string) *traces.Span {
	t.Helper()
	begins := regexp.MustCompile(`^\s*` + regexp.QuoteMeta(query))
	return l.find(t, query, func(s *traces.Span) bool {
		return s.GetKind() == traces.Span_SPAN_KIND_CLIENT && slices.ContainsFunc(s.GetAttributes(), func(a *common.KeyValue) bool {
			return a.GetKey() == "db.query.text" && begins.MatchString(a.GetValue().GetStringValue())
		})
	})
}

// isWithin reports whether outer is among the ancestors of inner.
func (l spanList) isWithin(inner, outer *traces.Span) bool {
	for inner != nil && spanID(inner.GetSpanId()) != spanID(outer.GetSpanId()) {
		i := slices.IndexFunc(l, func(s *traces.Span) bool { return spanID(s.GetSpanId()) == spanID(inner.GetParentSpanId()) })
		if i < 0 {
			return false
		}
		inner = l[i]
	}
	return inner != nil
}

func spanID(raw []byte) string {
	if len(raw) != 8 {
		return ""
	}
	return trace.SpanID(raw).String()
}
