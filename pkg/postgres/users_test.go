package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// newUser returns an account that is not stored.
func newUser(email string) user.User {
	now := time.Now().UTC().Truncate(time.Microsecond)
	return user.User{
		ID: uuid.Must(uuid.NewV7()), Email: email, Roles: []string{"user"}, Status: user.Active, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
}

func wantCode(t *testing.T, err error, want user.Code) {
	t.Helper()
	var e *user.Error
	if !errors.As(err, &e) || e.Code != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// set applies change to a user and stores the result.
func set(t *testing.T, db *postgres.DB, id uuid.UUID, change func(*user.User)) (user.User, error) {
	t.Helper()
	return db.Change(t.Context(), access.Internal(id), func(_ context.Context, _ user.Tx, u user.User) (user.Change, error) {
		change(&u)
		return user.Change{User: &u}, nil
	})
}

func wantUser(t *testing.T, db *postgres.DB, want user.User) {
	t.Helper()
	got, err := db.User(t.Context(), want.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the stored user (-want +got):\n%s", diff)
	}
}

func TestAUserIsReadAsItWasStored(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	full := newUser("Ada@Example.com")
	full.EmailVerified = true
	full.Roles = []string{"admin", "user"}
	full.Profile = user.Profile{
		Name: "Ada \\ '\" % 🔑", Picture: "https://x.example/", Locale: "de-CH-1996", Zoneinfo: "Europe/Berlin",
		Metadata: json.RawMessage(`{"z":1.10,"a":{"e":1E+2},"text":"caf\u00e9 <&>"}`),
	}
	if err := db.Create(t.Context(), access.Internal(uuid.Nil), accountOf(full), nil); err != nil {
		t.Fatal(err)
	}
	wantUser(t, db, full)

	bare := full
	bare.Profile, bare.Roles, bare.EmailVerified, bare.Status, bare.Version = user.Profile{}, []string{}, false, user.Disabled, 2
	bare.UpdatedAt = full.UpdatedAt.Add(time.Microsecond)
	got, err := set(t, db, full.ID, func(u *user.User) { *u = bare })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(bare, got); diff != "" {
		t.Errorf("the user that Change returns (-want +got):\n%s", diff)
	}
	wantUser(t, db, bare)
}

// TestEachFieldOfAProfileIsStored stores each field of a profile, with and without a value, through Create, Import and Change.
func TestEachFieldOfAProfileIsStored(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	var full user.Profile
	for _, f := range user.ProfileFields {
		switch value := f.In(&full).(type) {
		case *string:
			*value = "the " + f.Name
		case *json.RawMessage:
			*value = json.RawMessage(`{"` + f.Name + `": 1.10}`)
		}
	}
	for i, profile := range []user.Profile{full, {}} {
		created, imported := newUser(fmt.Sprintf("created%d@example.com", i)), newUser(fmt.Sprintf("imported%d@example.com", i))
		created.Profile, imported.Profile = profile, profile
		if err := db.Create(t.Context(), access.Internal(uuid.Nil), accountOf(created), nil); err != nil {
			t.Fatal(err)
		}
		event := event.Event{ID: uuid.New(), Type: event.UserCreated, Subject: imported.ID, UserVersion: 1, Data: []byte("{}")}
		account := user.NewAccount{User: imported, PasswordHash: "hash", HashPrefix: "h", Created: event}
		if n, taken, err := db.Import(t.Context(), []user.NewAccount{account, account}, false); n != 1 || len(taken) > 0 || err != nil {
			t.Fatalf("%d accounts were imported and %v are taken (%v), want 1 and none", n, taken, err)
		}
		wantUser(t, db, created)
		wantUser(t, db, imported)
		created.Profile = user.Profile{}
		if i == 1 {
			created.Profile = full
		}
		if _, err := set(t, db, created.ID, func(u *user.User) { u.Profile = created.Profile }); err != nil {
			t.Fatal(err)
		}
		wantUser(t, db, created)
	}
}

func TestEquivalentEmailsAreTaken(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	for i, c := range []struct {
		one, other string
		same       bool
	}{
		{"straße", "STRASSE", false},
		{"straße", "STRAẞE", true},
		{"strase", "straße", false},
		{"ΣΊΣΥΦΟΣ", "σίσυφος", true}, // the final sigma
		{"\u212angström", "KNGSTRÖM", true},
		{"o\u0323\u0302", "\u1ed8", true}, // composed marks, in upper case
		{"\uac00", "\u1100\u1161", true},  // a Hangul syllable and its letters
		{"I", "i", true},                  // Turkish differs
		{"\u0131", "i", false},            // dotless i
		{"\u0130", "i\u0307", true},       // I with a dot
		{"\u0130", "i", false},
		{"ı", "I", false},
		{"e", "é", false},
		{"a.b", "ab", false},
		{"a+b", "a", false},
	} {
		domain := fmt.Sprintf("@%d.example", i)
		first := create(t, db, c.one+domain)
		second := newUser(c.other + domain)
		err := db.Create(t.Context(), access.Internal(uuid.Nil), accountOf(second), nil)
		if c.same {
			wantCode(t, err, user.EmailTaken)
		} else if err != nil {
			t.Errorf("%q and %q are different emails, but the second account is refused: %v", c.one, c.other, err)
		}
		cred, err := db.Credential(t.Context(), c.other+domain)
		if err != nil || cred.PasswordHash != "hash" || (cred.UserID == first.ID) != c.same {
			t.Errorf("%q leads to the credential %v (%v), want that of %q: %t", c.other, cred, err, c.one, c.same)
		}
		wantUser(t, db, first) // the email is stored as it was entered
	}
}

func TestATakenEmailChangesNothing(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	a, b := create(t, db, "a@example.com"), create(t, db, "b@example.com")
	_, err := set(t, db, b.ID, func(u *user.User) { u.Name, u.Email = "B", "A@EXAMPLE.COM" })
	wantCode(t, err, user.EmailTaken)
	wantUser(t, db, b)
	if _, err := set(t, db, a.ID, func(u *user.User) { u.Email = "A@EXAMPLE.COM" }); err != nil {
		t.Errorf("a change of the case of one's own email is refused: %v", err)
	}
	if _, err := set(t, db, a.ID, func(u *user.User) { u.Email = "c@example.com" }); err != nil {
		t.Fatal(err)
	}
	if _, err := set(t, db, b.ID, func(u *user.User) { u.Email = "a@example.com" }); err != nil {
		t.Errorf("an email that its user has changed is still taken: %v", err)
	}
}

func TestAnUnknownRoleStoresNothing(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	u := newUser("a@example.com")
	u.Roles = []string{"nobody", "user"}
	wantCode(t, db.Create(t.Context(), access.Internal(uuid.Nil), accountOf(u), announcing(newEvent(t, u))), user.Invalid)
	_, err := db.User(t.Context(), u.ID)
	wantCode(t, err, user.NotFound)

	u = create(t, db, "a@example.com")
	_, err = set(t, db, u.ID, func(u *user.User) { u.Name, u.Roles = "A", []string{"nobody"} })
	wantCode(t, err, user.Invalid)
	wantUser(t, db, u)
	if events := drain(t, db); len(events) != 1 {
		t.Errorf("%d events are stored, want 1", len(events))
	}
}

func TestAChangeOfAnUnknownUserIsNotFound(t *testing.T) {
	t.Parallel()
	_, err := set(t, postgrestest.Open(t, nil), uuid.New(), func(*user.User) { t.Error("the decision ran for an unknown user") })
	wantCode(t, err, user.NotFound)
}

// home is the network from which the users of these tests log in.
var home = netip.MustParsePrefix("192.0.2.0/24")

// session opens a session of a user.
func session(t *testing.T, db *postgres.DB, u user.User) user.Session {
	t.Helper()
	now := time.Now()
	s := user.Session{ID: uuid.New(), UserID: u.ID, CreatedAt: now, RotatedAt: now, ExpiresAt: now.Add(time.Hour)}
	cred, err := db.CredentialOf(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	attempt := user.Attempt{Email: u.Email, Network: home}
	if _, err := db.RecordAttempt(t.Context(), attempt, func(user.LoginFailures) (user.LoginDecision, error) {
		return user.LoginDecision{Success: true, Session: &s, PasswordAt: cred.ChangedAt}, nil
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestADeletedUserLeavesNothing(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.URL(t)
	db := postgrestest.Connect(t, dsn, nil)
	const at = "198.51.100.7"
	here := user.WithOrigin(t.Context(), user.Origin{IP: netip.MustParseAddr(at)})
	gone, other := newUser("gone@example.com"), create(t, db, "other@example.com")
	gone.Name = "Ada Lovelace"
	if err := db.Create(here, access.Internal(uuid.Nil), accountOf(gone), nil); err != nil {
		t.Fatal(err)
	}
	for _, u := range []user.User{gone, gone, other} {
		session(t, db, u)
	}
	for _, try := range []error{failWithBackoff(here, db, gone), sendToken(here, db, gone)} {
		if try != nil {
			t.Fatal(try)
		}
	}
	traces := []string{gone.Email, gone.Name, at}
	if missing := absent(postgrestest.Rows(t, dsn), traces); len(missing) != 0 {
		t.Fatalf("%q are not in the database before the erasure, want all of %q", missing, traces)
	}
	remove(t, db, gone.ID)
	// This login failure is recorded after the erasure.
	if err := failWithBackoff(here, db, gone); err != nil {
		t.Fatal(err)
	}
	if rows := postgrestest.Rows(t, dsn, "outbox"); len(absent(rows, traces)) != len(traces) {
		t.Errorf("want none of %q after the erasure, got\n%s", traces, rows)
	}
	var users, credentials, roles, sessions int
	err := connect(t, dsn).QueryRow(t.Context(), `SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM credentials),
		(SELECT count(*) FROM user_roles), (SELECT count(*) FROM sessions)`).Scan(&users, &credentials, &roles, &sessions)
	if got := [4]int{users, credentials, roles, sessions}; err != nil || got != [4]int{1, 1, 1, 1} {
		t.Errorf("%v users, credentials, roles and sessions are left (%v), want 1 of each", got, err)
	}
	wantUser(t, db, other)
}

// absent returns the words that the text does not contain.
func absent(text string, words []string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(word string) bool { return strings.Contains(text, word) })
}

// sendToken stores a one-time token for a user.
func sendToken(ctx context.Context, db *postgres.DB, u user.User) error {
	_, err := db.Change(ctx, access.Internal(u.ID), func(context.Context, user.Tx, user.User) (user.Change, error) {
		token := user.OneTimeToken{Purpose: user.PasswordReset, Email: u.Email, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
		return user.Change{Token: &token, Audit: []user.Audit{{Action: user.TokenCreated}}}, nil
	})
	return err
}

func TestEndSessionsEndsAllSessionsOfOneUser(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	a, b := create(t, db, "a@example.com"), create(t, db, "b@example.com")
	ended := []user.Session{session(t, db, a), session(t, db, a)}
	kept := session(t, db, b)
	_, err := db.Identify(t.Context(), b.ID, ended[0].ID)
	wantCode(t, err, user.NotFound) // the session belongs to another user
	_, err = db.Change(t.Context(), access.Internal(a.ID), func(context.Context, user.Tx, user.User) (user.Change, error) {
		return user.Change{EndSessions: true}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range ended {
		_, err := db.Identify(t.Context(), a.ID, s.ID)
		wantCode(t, err, user.NotFound)
	}
	if _, err := db.Identify(t.Context(), b.ID, kept.ID); err != nil {
		t.Errorf("the session of another user has ended: %v", err)
	}
}

// TestPagesAreStableWhileUsersChange creates and erases users between reading the pages of a list. Users who exist until the last page is
// read, and new users, must be listed once, in the order of registration.
func TestPagesAreStableWhileUsersChange(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t, nil)
	var all []user.User
	register := func() { all = append(all, create(t, db, fmt.Sprintf("%d@example.com", len(all)))) }
	for range 10 {
		register()
	}
	filter := user.Filter{Limit: 3}
	var got []string
	for page := 0; ; page++ {
		p, err := db.Users(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range p.Users {
			got = append(got, u.Email)
		}
		if !p.More {
			break
		}
		filter.After = p.Users[len(p.Users)-1].ID
		if page < 2 {
			register()
			remove(t, db, filter.After) // the last user of this page, after whom the next page begins
			remove(t, db, all[4+4*page].ID)
		}
	}
	want := []string{"0", "1", "2", "3", "5", "6", "7", "9", "10", "11"} // 4 and 8 were erased before their page was read
	for i := range want {
		want[i] += "@example.com"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the listed users (-want +got):\n%s", diff)
	}
}

func remove(t *testing.T, db *postgres.DB, id uuid.UUID) {
	t.Helper()
	_, err := db.Change(t.Context(), access.Internal(id), func(_ context.Context, _ user.Tx, u user.User) (user.Change, error) {
		deleted, err := event.New(event.UserDeleted, id, u.Version+1, time.Now(), event.Subject{ID: id})
		return user.Change{Delete: true, Events: []event.Event{deleted}}, err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// accountOf returns a new account with a password hash that no password matches.
func accountOf(u user.User) user.NewAccount { return user.NewAccount{User: u, PasswordHash: "hash"} }
