package httpapi_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/event"
	"user-service/pkg/user"
)

// execute runs a statement in the database without the service, for example to simulate that time has passed. It returns the number of
// affected rows.
func (s *server) execute(query string, args ...any) int64 {
	s.t.Helper()
	conn := s.connect()
	defer func() { _ = conn.Close(s.t.Context()) }()
	tag, err := conn.Exec(s.t.Context(), query, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return tag.RowsAffected()
}

func (s *server) connect() *pgx.Conn {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.dsn)
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// events finishes the background work and returns the events of one type from the outbox, in order.
func (s *server) events(typ event.Type) []event.Event {
	s.t.Helper()
	if err := s.users.Finish(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	conn := s.connect()
	defer func() { _ = conn.Close(s.t.Context()) }()
	rows, err := conn.Query(s.t.Context(), `SELECT event_id, type, subject, sequence, data FROM outbox WHERE type = $1 ORDER BY id`, typ)
	if err != nil {
		s.t.Fatal(err)
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e event.Event, err error) {
		return e, row.Scan(&e.ID, &e.Type, &e.Subject, &e.UserVersion, &e.Data)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return events
}

// lastEvent returns the newest event of a type and its data.
func lastEvent[T any](t *testing.T, s *server, typ event.Type) (event.Event, T) {
	t.Helper()
	events := s.events(typ)
	if len(events) == 0 {
		t.Fatalf("the outbox has no event %s, want one", typ)
	}
	var data T
	e := events[len(events)-1]
	if err := json.Unmarshal(e.Data, &data); err != nil {
		t.Fatal(err)
	}
	return e, data
}

// tokenIssued and updated are the data of events as their consumers read them.
type tokenIssued struct {
	User      user.User
	Token     string
	ExpiresAt time.Time `json:"expires_at"`
}

type updated struct {
	User     user.User
	Changed  []string
	Previous map[string]any
}

// entry is an entry of the audit trail as the API shows it.
type entry struct {
	ID        uuid.UUID
	Time      time.Time
	Action    string
	ActorID   *uuid.UUID `json:"actor_id"`
	Actor     string
	UserID    *uuid.UUID `json:"user_id"`
	IP        string
	RequestID string `json:"request_id"`
	Detail    map[string]any
}

// what returns the action and the detail, without the ids of sessions.
func (e entry) what() string {
	if e.Detail == nil {
		return e.Action
	}
	if _, named := e.Detail["session_id"]; named {
		e.Detail["session_id"] = "…"
	}
	raw, _ := json.Marshal(e.Detail) // sorts the fields
	return e.Action + " " + string(raw)
}

// current returns the user as it is stored now.
func (s *server) current(a account) user.User {
	s.t.Helper()
	u, err := s.users.Get(s.t.Context(), a.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}
