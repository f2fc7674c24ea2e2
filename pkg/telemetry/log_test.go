package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"user-service/pkg/telemetry"
)

// logged returns the members of the only line that do logs, without its time.
func logged(t *testing.T, level slog.Level, do func(*slog.Logger)) map[string]any {
	t.Helper()
	var out bytes.Buffer
	do(telemetry.NewLogger(&out, level))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%q is not one line of JSON: %v", out.String(), err)
	}
	written, _ := line["time"].(string)
	at, err := time.Parse(time.RFC3339Nano, written)
	if err != nil || !strings.HasSuffix(written, "Z") || time.Since(at) > time.Minute {
		t.Errorf("the time is %q, want now in UTC", written)
	}
	delete(line, "time")
	return line
}

func inTrace(ctx context.Context) context.Context {
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{0x4b, 0xf9, 15: 0x36}, SpanID: trace.SpanID{0x00, 0xf0, 7: 0xb7},
	}))
}

func TestLogsHaveTheIDsOfTheirContext(t *testing.T) {
	t.Parallel()
	const traceID, spanID = "4bf90000000000000000000000000036", "00f00000000000b7"
	request := telemetry.WithRequestID(t.Context(), "r-1")
	for name, test := range map[string]struct {
		ctx  context.Context
		want map[string]any
	}{
		"nothing": {t.Context(), map[string]any{}},
		"request": {request, map[string]any{"request_id": "r-1"}},
		"trace":   {inTrace(t.Context()), map[string]any{"trace_id": traceID, "span_id": spanID}},
		"both":    {inTrace(request), map[string]any{"request_id": "r-1", "trace_id": traceID, "span_id": spanID}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := logged(t, slog.LevelInfo, func(log *slog.Logger) {
				log.With("with", "w").InfoContext(test.ctx, "hello", "own", 1)
			})
			want := map[string]any{"level": "INFO", "msg": "hello", "with": "w", "own": 1.0}
			for key, value := range test.want {
				want[key] = value
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the line differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLogGroups(t *testing.T) {
	t.Parallel()
	got := logged(t, slog.LevelInfo, func(log *slog.Logger) {
		log.WithGroup("g").InfoContext(telemetry.WithRequestID(t.Context(), "r-1"), "hello", "own", 1)
	})
	want := map[string]any{"level": "INFO", "msg": "hello", "g": map[string]any{"own": 1.0, "request_id": "r-1"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the line differs (-want +got):\n%s", diff)
	}
}

func TestLogTimesAreUTC(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.FixedZone("far east", 8*60*60))
	handler := telemetry.NewLogger(&out, slog.LevelInfo).Handler()
	if err := handler.Handle(t.Context(), slog.NewRecord(at, slog.LevelInfo, "hello", 0)); err != nil {
		t.Fatal(err)
	}
	if want := `"time":"2026-01-01T19:04:05.000000678Z"`; !strings.Contains(out.String(), want) {
		t.Errorf("the line is %s, want %s in it", out.String(), want)
	}
}

func TestLogLevel(t *testing.T) {
	t.Parallel()
	got := logged(t, slog.LevelWarn, func(log *slog.Logger) {
		log.Info("too much")
		log.Warn("enough")
	})
	if got["msg"] != "enough" {
		t.Errorf("the line is %v, want the message enough", got)
	}
}

// Two handlers may get the same record, and must not change each other's attributes.
func TestLoggingDoesNotChangeTheRecord(t *testing.T) {
	t.Parallel()
	record := slog.NewRecord(time.Now(), slog.LevelInfo, "hello", 0)
	for i := range 8 { // more than the inline attributes of a record
		record.Add(strconv.Itoa(i), i)
	}
	ctx := telemetry.WithRequestID(t.Context(), "r-1")
	for range 2 {
		got := logged(t, slog.LevelInfo, func(log *slog.Logger) { _ = log.Handler().Handle(ctx, record) })
		if want := 8 + 3; len(got) != want { // and level, msg, request_id
			t.Errorf("the line has %d members, want %d: %v", len(got), want, got)
		}
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	if got := telemetry.RequestID(t.Context()); got != "" {
		t.Errorf("a context without a request has the id %q, want none", got)
	}
	if got := telemetry.RequestID(telemetry.WithRequestID(t.Context(), "r-1")); got != "r-1" {
		t.Errorf("the id is %q, want r-1", got)
	}
}
