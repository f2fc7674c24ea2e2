package main

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"user-service/pkg/config"
	"user-service/pkg/factor"
	"user-service/pkg/postgres"
	"user-service/pkg/token"
)

// wantStatus checks the status of the only result.
func (d *doctor) wantStatus(t *testing.T, name, status string) {
	t.Helper()
	if len(d.results) != 1 || d.results[0].Status != status || (d.results[0].Fix == "") != (status == checkOK) {
		t.Errorf("%s: the results are %+v, want one with the status %s, and an advice unless it is ok", name, d.results, status)
	}
}

// TestDoctorComparesClocks passes the times directly, because a real server has the clock of the test's machine.
func TestDoctorComparesClocks(t *testing.T) {
	t.Parallel()
	before := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	after := before.Add(2 * time.Second)
	for name, c := range map[string]struct {
		database time.Time
		want     string
	}{
		"the same":               {before, checkOK},
		"between":                {before.Add(time.Second), checkOK},
		"a little behind":        {before.Add(-maxClockSkew), checkOK},
		"behind":                 {before.Add(-maxClockSkew - time.Millisecond), checkProblem},
		"a little ahead":         {after.Add(maxClockSkew), checkOK},
		"ahead":                  {after.Add(maxClockSkew + time.Millisecond), checkProblem},
		"in another time zone":   {before.In(time.FixedZone("", 3600)), checkOK},
		"an hour ahead":          {before.Add(time.Hour), checkProblem},
		"without a clock (1970)": {time.Unix(0, 0), checkProblem},
	} {
		var d doctor
		d.checkClock(c.database, before, after)
		d.wantStatus(t, name, c.want)
	}
}

func TestDoctorRefusesAnOldServer(t *testing.T) {
	t.Parallel()
	for major, want := range map[int]string{13: checkProblem, postgres.MinServerVersion: checkOK, 18: checkOK} {
		var d doctor
		d.checkServer(postgres.ServerState{Version: "x", Major: major})
		d.results = d.results[:1] // the next one is about writes
		d.wantStatus(t, "version", want)
	}
}

func TestDoctorChecksTheAgeOfSigningKeys(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		signs bool
		since time.Time
		want  string
	}{
		"new": {true, now, checkOK}, "not used yet": {true, time.Time{}, checkOK}, "a year": {true, now.Add(-maxKeyAge), checkOK},
		"too old":                {true, now.Add(-maxKeyAge - time.Second), checkProblem},
		"old, and only accepted": {false, now.Add(-2 * maxKeyAge), checkOK},
	} {
		var d doctor
		d.checkKey(token.KeyInfo{ID: "k", Algorithm: "EdDSA", Signs: c.signs}, c.since, now)
		d.wantStatus(t, name, c.want)
	}
}

// TestDoctorCountsTheSecretsOfEachKey stores secrets that DATA_KEY, an accepted key and a lost key encrypt.
func TestDoctorCountsTheSecretsOfEachKey(t *testing.T) {
	t.Parallel()
	env, db := migrated(t)
	var id string
	insert := `INSERT INTO users (id, email, email_key, status, version, created_at, updated_at)
		VALUES (gen_random_uuid(), 'a@example.com', 'a@example.com', 'active', 1, now(), now()) RETURNING id::text`
	if err := db.QueryRow(t.Context(), insert).Scan(&id); err != nil {
		t.Fatal(err)
	}
	current, accepted, lost := newDataKey(), newDataKey(), newDataKey()
	for key, n := range map[string]int{current: 3, accepted: 2} {
		storeSecrets(t, db, id, key, n)
	}
	var url string
	for _, variable := range env {
		if value, found := strings.CutPrefix(variable, "DATABASE_URL="); found {
			url = value
		}
	}
	check := func(key, accepted string) doctor {
		var d doctor
		keys := config.DataKeys{Key: config.Secret(key), Accepted: config.Secret(accepted)}
		d.checkDataKeys(t.Context(), keys, config.Database{URL: config.Secret(url)})
		return d
	}
	d := check(current, accepted)
	d.wantStatus(t, "all keys", checkOK)
	if want := "DATA_KEY encrypts 3 secrets, accepted keys encrypt 2"; d.results[0].Detail != want {
		t.Errorf("the detail is %q, want %q", d.results[0].Detail, want)
	}
	d = check("", "")
	d.wantStatus(t, "no key", checkProblem)
	storeSecrets(t, db, id, lost, 1)
	if d = check(current, accepted); len(d.results) != 2 || d.results[1].Status != checkProblem {
		t.Errorf("with a lost key: the results are %+v, want a problem", d.results)
	}
}

func newDataKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return base64.StdEncoding.EncodeToString(key)
}

// storeSecrets stores n factors whose secrets are marked as encrypted with a key. The secrets are empty.
func storeSecrets(t *testing.T, db *pgx.Conn, user, key string, n int) {
	t.Helper()
	keys, err := factor.NewKeys(key, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `INSERT INTO factors (id, user_id, type, name, secret, key_id)
		SELECT gen_random_uuid(), $1::text::uuid, 'totp', 'Phone', '', $2 FROM generate_series(1, $3::int)`,
		user, keys.CurrentID(), n); err != nil {
		t.Fatal(err)
	}
}
