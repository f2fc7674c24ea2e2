package main

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/sethvargo/go-envconfig"

	"user-service/internal/testkit"
	"user-service/pkg/config"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/telemetry"
	"user-service/pkg/user"
)

// TestAShutdownFinishesRequestedResets requests a reset and shuts down while the reset waits for a lock. The service answers such a request
// before it has processed it. The shutdown must wait until the reset is processed.
func TestAShutdownFinishesRequestedResets(t *testing.T) {
	t.Parallel()
	env := replicaEnvironment(t)
	env["SHUTDOWN_DELAY"] = "0s"
	var cfg config.Config
	if err := config.Load(envconfig.MapLookuper(env), &cfg); err != nil {
		t.Fatal(err)
	}
	s, err := newService(t.Context(), cfg, telemetry.NewLogger(&testkit.Buffer{}, slog.LevelInfo), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.db.Close(context.Background()) })
	u, err := s.users.Register(t.Context(), user.Registration{Email: env["EMAIL"], Password: env["PASSWORD"]})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), env["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	other, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), `SELECT FROM users WHERE id = $1 FOR UPDATE`, u.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.users.RequestReset(t.Context(), u.Email); err != nil {
		t.Fatal(err)
	}
	deadline, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	drained := make(chan struct{})
	closing := make(chan struct{})
	server := &http.Server{ReadHeaderTimeout: time.Second}
	server.RegisterOnShutdown(func() { close(closing) })
	go func() {
		defer close(drained)
		s.drain(deadline, server)
	}()
	testkit.Receive(t, "the shutdown", closing)
	postgrestest.WaitForLock(t, conn) // the reset is in progress
	select {
	case <-drained:
		t.Error("the shutdown ends while a reset is in progress, want it to wait")
	default:
	}
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	testkit.Receive(t, "the end", drained)
	var events int
	row := conn.QueryRow(t.Context(), `SELECT count(*) FROM outbox WHERE type = 'user.password_reset_requested'`)
	if err := row.Scan(&events); err != nil || events != 1 {
		t.Errorf("%d events of the reset (%v), want 1", events, err)
	}
}
