package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/outbox"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// create stores a user and its user.created event.
func create(t *testing.T, db *postgres.DB, email string) user.User {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	u := user.User{
		ID: uuid.Must(uuid.NewV7()), Email: email, Roles: []string{"user"}, Status: user.Active, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	if err := db.Create(t.Context(), access.Internal(uuid.Nil), accountOf(u), announcing(newEvent(t, u))); err != nil {
		t.Fatal(err)
	}
	return u
}

// announcing returns a decision for Create that stores an event.
func announcing(e event.Event) func(int, time.Time) (user.Change, error) {
	return func(int, time.Time) (user.Change, error) { return user.Change{Events: []event.Event{e}}, nil }
}

func newEvent(t *testing.T, u user.User) event.Event {
	t.Helper()
	e, err := event.New(event.UserCreated, u.ID, u.Version, u.UpdatedAt, event.Created{User: u})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// rename changes a user's name. If fault is not nil, the decision returns this error together with the change.
func rename(ctx context.Context, db *postgres.DB, id uuid.UUID, fault error) error {
	_, err := db.Change(ctx, access.Internal(id), func(_ context.Context, _ user.Tx, u user.User) (user.Change, error) {
		u.Version++
		u.Name = fmt.Sprint("version ", u.Version)
		e, err := event.New(event.UserUpdated, u.ID, u.Version, time.Now(), event.Updated{User: u})
		return user.Change{User: &u, Events: []event.Event{e}}, errors.Join(err, fault)
	})
	return err
}

// drain removes all events from the outbox, and returns them in order.
func drain(t *testing.T, db *postgres.DB) []event.Event {
	t.Helper()
	var all []event.Event
	_, err := db.Drain(t.Context(), everything, func(_ context.Context, waiting []outbox.Waiting) []outbox.Outcome {
		for _, w := range waiting {
			all = append(all, w.Event)
		}
		return confirmAll(len(waiting))
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// everything are limits that no test reaches.
var everything = outbox.Limits{Events: 10_000, Retries: 10_000, Bytes: 1 << 30}

func confirmAll(n int) []outbox.Outcome {
	out := make([]outbox.Outcome, n)
	for i := range out {
		out[i].Result = outbox.Confirmed
	}
	return out
}

func TestAFailedChangePublishesNothing(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	u := create(t, db, "a@example.com")
	if err := db.Create(t.Context(), access.Internal(uuid.Nil), accountOf(u), announcing(newEvent(t, u))); err == nil {
		t.Fatal("Create succeeds twice for the same user, want an error")
	}
	fault := errors.New("fault")
	if err := rename(t.Context(), db, u.ID, fault); !errors.Is(err, fault) {
		t.Fatal(err)
	}
	if events := drain(t, db); len(events) != 1 || events[0].Type != event.UserCreated {
		t.Errorf("the events are %+v, want one user.created", events)
	}
}

func TestAnEventIsReadAsItWasStored(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	span := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5}, TraceFlags: trace.FlagsSampled,
	})
	ctx := trace.ContextWithSpanContext(t.Context(), span)
	now := time.Now().UTC().Truncate(time.Microsecond)
	u := user.User{ID: uuid.Must(uuid.NewV7()), Email: "a@example.com", Status: user.Active, Version: 1, CreatedAt: now, UpdatedAt: now}
	u.Metadata = json.RawMessage(`{"n":1.10,"big":123456789012345678901234567890}`)
	sent := newEvent(t, u)
	if err := db.Create(ctx, access.Internal(uuid.Nil), accountOf(u), announcing(sent)); err != nil {
		t.Fatal(err)
	}
	got := drain(t, db)[0]
	want := "00-" + span.TraceID().String() + "-" + span.SpanID().String() + "-01"
	if got.ID != sent.ID || got.Subject != u.ID || got.UserVersion != 1 || !got.Time.Equal(now) || string(got.Data) != string(sent.Data) {
		t.Errorf("got  %+v\nwant %+v", got, sent)
	}
	if got.Traceparent != want {
		t.Errorf("the traceparent is %q, want %q", got.Traceparent, want)
	}
}

func TestCommittedIsCalledForEventsOnly(t *testing.T) {
	t.Parallel()
	calls := 0
	db := postgrestest.Open(t, func() { calls++ })
	u := create(t, db, "a@example.com")
	if err := rename(t.Context(), db, u.ID, nil); err != nil {
		t.Fatal(err)
	}
	_, err := db.Change(t.Context(), access.Internal(u.ID), func(context.Context, user.Tx, user.User) (user.Change, error) {
		return user.Change{}, nil
	})
	if err != nil || calls != 2 {
		t.Errorf("committed was called %d times (%v), want 2", calls, err)
	}
}

func TestOneUsersEventsAreInTheOrderOfItsChanges(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	users := []user.User{create(t, db, "a@example.com"), create(t, db, "b@example.com"), create(t, db, "c@example.com")}
	var wg sync.WaitGroup
	for range 8 {
		for _, u := range users {
			wg.Go(func() {
				for range 10 {
					if err := rename(t.Context(), db, u.ID, nil); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	last := map[uuid.UUID]int64{}
	events := drain(t, db)
	for _, e := range events {
		if e.UserVersion != last[e.Subject]+1 {
			t.Fatalf("an event with version %d follows version %d, want %d", e.UserVersion, last[e.Subject], last[e.Subject]+1)
		}
		last[e.Subject] = e.UserVersion
	}
	if len(events) != 3*81 {
		t.Errorf("%d events are stored, want %d", len(events), 3*81)
	}
}

func TestOneRelayDrainsAtATime(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	first, second := postgrestest.Connect(t, dsn, nil), postgrestest.Connect(t, dsn, nil)
	create(t, first, "a@example.com")
	_, err := first.Drain(t.Context(), everything, func(ctx context.Context, _ []outbox.Waiting) []outbox.Outcome {
		called := false
		_, err := second.Drain(ctx, everything, func(_ context.Context, w []outbox.Waiting) []outbox.Outcome {
			called = true
			return confirmAll(len(w))
		})
		if !errors.Is(err, outbox.ErrBusy) || called {
			t.Errorf("the second relay gets the error %v (published: %t), want ErrBusy and nothing published", err, called)
		}
		return []outbox.Outcome{{Result: outbox.Unsent}}
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(drain(t, second)); n != 1 {
		t.Errorf("%d events are left after a failure to publish, want 1", n)
	}
	if pending, oldest, err := first.OutboxBacklog(t.Context()); pending != 0 || oldest != 0 || err != nil {
		t.Errorf("the backlog has %d events, the oldest of them %s old (%v), want none", pending, oldest, err)
	}
}

func TestADeadRelayReleasesItsLock(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	create(t, db, "a@example.com")
	ctx, kill := context.WithCancel(t.Context())
	_, err := db.Drain(ctx, everything, func(context.Context, []outbox.Waiting) []outbox.Outcome { kill(); return confirmAll(1) })
	if err == nil {
		t.Fatal("Drain succeeds after its context has ended, want an error")
	}
	if n := len(drain(t, postgrestest.Connect(t, dsn, nil))); n != 1 {
		t.Errorf("%d events are left for the next relay, want 1", n)
	}
}
