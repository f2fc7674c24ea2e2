package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sethvargo/go-envconfig"

	"user-service/internal/testkit"
	"user-service/pkg/access"
	"user-service/pkg/config"
	"user-service/pkg/telemetry"
	"user-service/pkg/user"
)

// maxAllocations is the number of allocations of GET /users/me, without those of net/http's server. Raise it only for a reason that is
// worth the time of every read. The race detector adds about eight.
const maxAllocations = 120

// reader sends GET /users/me to the handler of a service with all of its parts: metrics, request id, log and the check of the session.
type reader struct {
	t       testing.TB
	handler http.Handler
	request *http.Request
}

func newReader(t testing.TB) *reader {
	t.Helper()
	env := replicaEnvironment(t)
	env["ARGON2_MEMORY_KIB"], env["ARGON2_ITERATIONS"] = "64", "1"
	var cfg config.Config
	if err := config.Load(envconfig.MapLookuper(env), &cfg, secretChecks()...); err != nil {
		t.Fatal(err)
	}
	s, err := newService(t.Context(), cfg, telemetry.NewLogger(io.Discard, slog.LevelInfo), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
		defer cancel()
		s.db.Close(ctx)
	})
	account := user.Registration{Email: "ada@example.com", Password: "seven green kettles sing"}
	if _, err := s.users.Create(t.Context(), access.Internal(uuid.Nil), account, access.User); err != nil {
		t.Fatal(err)
	}
	pair, err := s.users.Login(t.Context(), user.Login{Email: account.Email, Password: account.Password})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/users/me", nil)
	r.Header.Set("Authorization", "Bearer "+pair.Access)
	return &reader{t: t, handler: s.api.Handler(), request: r}
}

func (r *reader) read() {
	response := discarded{header: make(http.Header)}
	r.handler.ServeHTTP(&response, r.request.WithContext(context.Background())) //nolint:contextcheck // as net/http's server does
	if response.status != http.StatusOK {
		r.t.Fatalf("the status is %d, want 200", response.status)
	}
}

// discarded is a response whose body is not kept.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) WriteHeader(status int)      { d.status = status }
func (d *discarded) Write(p []byte) (int, error) { return len(p), nil }

// TestReadsAllocateNoMoreThanBefore is not parallel, because it counts the allocations of the whole process.
func TestReadsAllocateNoMoreThanBefore(t *testing.T) {
	r := newReader(t)
	got := int(testing.AllocsPerRun(300, r.read))
	t.Logf("GET /users/me: %d allocations", got)
	if got > maxAllocations {
		t.Errorf("GET /users/me makes %d allocations, want at most %d", got, maxAllocations)
	}
}

// BenchmarkRead measures GET /users/me without net/http's server.
func BenchmarkRead(b *testing.B) {
	r := newReader(b)
	began := time.Now()
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.read()
		}
	})
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "reads/s")
}
