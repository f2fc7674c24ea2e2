package main

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/internal/testkit"
)

// TestEmailCollisionsAreLoggedAtStart stores two accounts as an earlier version did. Their emails count as the same now, so the service
// must log both ids when it starts.
func TestEmailCollisionsAreLoggedAtStart(t *testing.T) {
	t.Parallel()
	env := replicaEnvironment(t)
	conn, err := pgx.Connect(t.Context(), env["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	holder, other := uuid.New(), uuid.New()
	var batch pgx.Batch
	const account = `INSERT INTO users (id, email, email_key, status, version, created_at, updated_at)
		VALUES ($1, $2, $3, 'active', 1, now(), now())`
	batch.Queue(account, holder, "ada@example.com", "ada@example.com")
	batch.Queue(account, other, "Ada@example.com", "ada@example.com "+other.String())
	batch.Queue(`INSERT INTO email_collisions VALUES ($1, $2)`, other, holder)
	if err := conn.SendBatch(t.Context(), &batch).Close(); err != nil {
		t.Fatal(err)
	}
	r := startReplica(t, env, nil)
	testkit.WaitFor(t, "both ids in the log", func() bool {
		log := r.log.String()
		return strings.Contains(log, `"user_id":"`+other.String()+`"`) && strings.Contains(log, `"holder_id":"`+holder.String()+`"`)
	})
}
