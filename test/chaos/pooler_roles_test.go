package chaos_test

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/access"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	domain "user-service/pkg/user"
)

// TestAnErasureNeedsNoRightToChangeTheAuditTrailBehindPgBouncer erases a user and runs the cleanup with a restricted database
// role. The role may not change or delete entries, and finds the schema through its own search_path.
func TestAnErasureNeedsNoRightToChangeTheAuditTrailBehindPgBouncer(t *testing.T) {
	t.Parallel()
	database := postgrestest.NewSeparate(t, "accounts")
	db := postgrestest.Connect(t, postgrestest.StartPooler(t, database.Service, 8).URL, nil)
	u := domain.User{
		ID: uuid.New(), Email: "ada@example.com", Roles: []string{access.User}, Status: domain.Active, Version: 1,
		CreatedAt: time.Now(), UpdatedAt: time.Now(),
	}
	at := domain.WithOrigin(t.Context(), domain.Origin{ActorID: u.ID, IP: netip.MustParseAddr("198.51.100.7"), RequestID: "r"})
	if err := db.Create(at, access.Internal(uuid.Nil), domain.NewAccount{User: u, PasswordHash: "hash"}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Change(at, access.Internal(u.ID), func(context.Context, domain.Tx, domain.User) (domain.Change, error) {
		return domain.Change{Delete: true, Audit: []domain.Audit{{Action: domain.UserDeleted}}}, nil
	}); err != nil {
		t.Fatal(err)
	}
	owner, err := pgx.Connect(t.Context(), database.Owner)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = owner.Close(t.Context()) }()
	if _, err := owner.Exec(t.Context(), `
		UPDATE erasures SET erased_at = now() - interval '1 hour';
		INSERT INTO audit_events (id, time, action, user_id, ip)
		SELECT gen_random_uuid(), now(), 'authn_login_fail', user_id, '198.51.100.7' FROM erasures;
		UPDATE audit_events SET id = ('ffffffff' || substr(id::text, 9))::uuid;
		INSERT INTO audit_events (id, time, action)
		VALUES ('00000000-0000-7000-8000-000000000001', now(), 'authn_login_fail')`); err != nil {
		t.Fatal(err)
	}
	cleaner := postgres.Cleaner{DB: db, AuditRetention: time.Hour, Observer: unobservedCleanup{}, Log: slog.New(slog.DiscardHandler)}
	if err := cleaner.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	var entries, addresses int
	err = owner.QueryRow(t.Context(), `SELECT count(*), count(ip) + count(request_id) FROM audit_events`).Scan(&entries, &addresses)
	if err != nil || entries != 3 || addresses != 0 {
		t.Errorf("%d entries with %d addresses and request ids are left (%v), want 3 with none", entries, addresses, err)
	}
}

type unobservedCleanup struct{}

func (unobservedCleanup) CleanupRows(string, int64) {}
func (unobservedCleanup) CleanupDone(error)         {}
