package postgres_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// TestEntriesThatRaceAnErasureAreAnonymized erases a user while two audit entries are not committed yet: one by the user and one about
// the user. The erasure can't see these two entries. The cleanup must anonymize them, but not within a minute of the erasure.
func TestEntriesThatRaceAnErasureAreAnonymized(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, conn := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	const at, request = "198.51.100.7", "ada-at-home"
	gone, other := create(t, db, "gone@example.com"), create(t, db, "other@example.com")
	if err := db.PutRole(t.Context(), access.Internal(uuid.Nil), clerk, anySize, anyRole); err != nil {
		t.Fatal(err)
	}
	here := user.WithOrigin(t.Context(), user.Origin{ActorID: gone.ID, IP: netip.MustParseAddr(at), RequestID: request})

	execute(t, dsn, `
		CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS '
			BEGIN
				WHILE NOT pg_try_advisory_xact_lock_shared(1) LOOP PERFORM pg_sleep(0.02); END LOOP;
				RETURN NEW;
			END';
		CREATE TRIGGER hold BEFORE INSERT ON outbox FOR EACH ROW WHEN (NEW.type = 'user.updated') EXECUTE FUNCTION hold()`)
	outbox, err := conn.Begin(t.Context()) // blocks the change below when it stores its event; it has already added its audit entry
	if err != nil {
		t.Fatal(err)
	}
	if _, err := outbox.Exec(t.Context(), `SELECT pg_advisory_xact_lock(1)`); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := db.Change(here, access.Internal(other.ID), give(func() {}, "clerk", "user")); err != nil {
			t.Error(err)
		}
	})
	about, err := connect(t, dsn).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := about.Exec(t.Context(), `INSERT INTO audit_events (id, time, action, user_id, ip, request_id)
		VALUES (gen_random_uuid(), now(), 'authn_login_fail', $1, $2, $3)`, gone.ID, at, request); err != nil {
		t.Fatal(err)
	}
	watch := connect(t, dsn)
	postgrestest.WaitForSleep(t, watch)
	remove(t, db, gone.ID)
	for _, tx := range []pgx.Tx{outbox, about} {
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if rows := postgrestest.Rows(t, dsn, "outbox"); strings.Count(rows, at) != 2 || strings.Count(rows, request) != 2 {
		t.Fatalf("want 2 entries with the address and the request id after the erasure:\n%s", rows)
	}

	cleaner, _ := newCleaner(db)
	cleanUp := func() string {
		t.Helper()
		if err := cleaner.Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
		return postgrestest.Rows(t, dsn, "outbox")
	}
	if rows := cleanUp(); !strings.Contains(rows, at) {
		t.Error("the cleanup anonymized entries within a minute of the erasure, want none: other transactions may still run")
	}
	execute(t, dsn, `UPDATE erasures SET erased_at = erased_at - interval '1 minute'`)
	if rows := cleanUp(); strings.Contains(rows, at) || strings.Contains(rows, request) {
		t.Errorf("the address or the request id is left after the cleanup, want neither:\n%s", rows)
	}
	var left int
	if err := watch.QueryRow(t.Context(), `SELECT count(*) FROM erasures`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d erasures are left (%v), want none", left, err)
	}
}

// TestAnErasureScrubsALimitedNumberOfEntries erases a user with more audit entries than the erasure itself scrubs. This number is
// limited, because other people can add any number of entries about a user, for example by failed logins. The cleanup must scrub the
// rest.
func TestAnErasureScrubsALimitedNumberOfEntries(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, conn := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	u := create(t, db, "gone@example.com")
	execute(t, dsn, fmt.Sprintf(`INSERT INTO audit_events (id, time, action, user_id, ip, request_id)
		SELECT gen_random_uuid(), now(), 'authn_login_fail', '%s', '198.51.100.7', 'r' FROM generate_series(1, 3500)`, u.ID))
	remaining := func() (n int) {
		t.Helper()
		err := conn.QueryRow(t.Context(), `SELECT count(*) FROM audit_events WHERE ip IS NOT NULL OR request_id IS NOT NULL`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	remove(t, db, u.ID)
	if n := remaining(); n != 2500 {
		t.Errorf("%d of 3500 entries have an address or a request id after the erasure, want 2500", n)
	}
	execute(t, dsn, `UPDATE erasures SET erased_at = erased_at - interval '1 minute'`)
	cleaner, _ := newCleaner(db)
	if err := cleaner.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := remaining(); n != 0 {
		t.Errorf("%d entries have an address or a request id after the cleanup, want none", n)
	}
	if rows := postgrestest.Rows(t, dsn, "audit_events", "outbox"); strings.Contains(rows, "erasures: ") {
		t.Error("the erasure is left after the cleanup, want none")
	}
}

// TestManyErasuresAreProcessedInBatches runs the cleanup with 2500 old and 7 new erasures. One run must process all old ones and leave
// the new ones.
func TestManyErasuresAreProcessedInBatches(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, conn := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	execute(t, dsn, `
		INSERT INTO erasures SELECT gen_random_uuid(), now() - interval '2 minutes' FROM generate_series(1, 2500);
		INSERT INTO erasures SELECT gen_random_uuid(), now() FROM generate_series(1, 7);
		INSERT INTO audit_events (id, time, action, user_id, ip)
			SELECT ('ffffffff' || substr(user_id::text, 9))::uuid, now(), 'user_updated', user_id, '198.51.100.7' FROM erasures`)
	cleaner, _ := newCleaner(db)
	if err := cleaner.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	var erasures, addresses int
	err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM erasures), (SELECT count(ip) FROM audit_events)`).
		Scan(&erasures, &addresses)
	if err != nil || erasures != 7 || addresses != 7 {
		t.Errorf("%d erasures and %d addresses are left (%v), want the 7 new ones of each", erasures, addresses, err)
	}
}

// TestPendingEventsOfAnErasedUserAreNotPublished erases a user whose events are not published yet. These events contain personal
// data, and may contain a token that is no longer valid.
func TestPendingEventsOfAnErasedUserAreNotPublished(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	gone, other := create(t, db, "gone@example.com"), create(t, db, "other@example.com")
	remove(t, db, gone.ID)
	if rows := postgrestest.Rows(t, dsn); strings.Contains(rows, gone.Email) {
		t.Errorf("the email is left after the erasure, want none:\n%s", rows)
	}
	var published []string
	for _, e := range drain(t, db) {
		published = append(published, string(e.Type)+" "+e.Subject.String())
	}
	if diff := cmp.Diff([]string{"user.created " + other.ID.String(), "user.deleted " + gone.ID.String()}, published); diff != "" {
		t.Errorf("the published events (-want +got):\n%s", diff)
	}
}

// TestAnErasureDoesNotWaitForTheRelay erases a user while another transaction deletes an event of the user, as the relay does. The
// erasure must not wait for this transaction. The transaction is then rolled back, and the event must not be published.
func TestAnErasureDoesNotWaitForTheRelay(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, relay := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	gone := create(t, db, "gone@example.com")
	tx, err := relay.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `DELETE FROM outbox WHERE subject = $1`, gone.ID); err != nil {
		t.Fatal(err)
	}
	remove(t, db, gone.ID)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if events := drain(t, db); len(events) != 1 || events[0].Type != event.UserDeleted {
		t.Errorf("the published events are %+v, want one user.deleted", events)
	}
	if rows := postgrestest.Rows(t, dsn); strings.Contains(rows, gone.Email) {
		t.Errorf("the email is left after the erasure, want none:\n%s", rows)
	}
}

// TestAnAccountThatIsImportedAgainCanBeErasedAgain creates and erases an account twice with the same id. The cleanup has not yet
// processed the first erasure when the second one is recorded.
func TestAnAccountThatIsImportedAgainCanBeErasedAgain(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	u := newUser("a@example.com")
	for range 2 {
		if err := db.Create(t.Context(), access.Internal(uuid.Nil), accountOf(u), nil); err != nil {
			t.Fatal(err)
		}
		_, err := db.Change(t.Context(), access.Internal(u.ID), func(context.Context, user.Tx, user.User) (user.Change, error) {
			return user.Change{Delete: true}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestAnEntryThatIsLockedDuringTheCleanupIsScrubbedLater locks an audit entry of an erased user during the cleanup. The cleanup skips the
// locked entry; a later run must scrub it.
func TestAnEntryThatIsLockedDuringTheCleanupIsScrubbedLater(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db, conn := postgrestest.Connect(t, dsn, nil), connect(t, dsn)
	execute(t, dsn, `
		INSERT INTO erasures VALUES (gen_random_uuid(), now() - interval '2 minutes');
		INSERT INTO audit_events (id, time, action, user_id, ip)
			SELECT gen_random_uuid(), now(), 'user_updated', user_id, '198.51.100.7' FROM erasures`)
	holder, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), `SELECT 1 FROM audit_events FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	cleaner, _ := newCleaner(db)
	if err := cleaner.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	execute(t, dsn, `UPDATE erasures SET erased_at = erased_at - interval '2 minutes'`)
	if err := cleaner.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	var erasures, addresses int
	err = conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM erasures), (SELECT count(ip) FROM audit_events)`).
		Scan(&erasures, &addresses)
	if err != nil || erasures != 0 || addresses != 0 {
		t.Errorf("%d erasures and %d addresses are left (%v), want none", erasures, addresses, err)
	}
}
