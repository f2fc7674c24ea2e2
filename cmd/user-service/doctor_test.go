package main

import (
	"testing"
	"time"

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

// TestDoctorComparesClocks compares clocks whose difference can't be caused with a real server.
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
		"too old": {true, now.Add(-maxKeyAge - time.Second), checkProblem}, "old, and only accepted": {false, now.Add(-2 * maxKeyAge), checkOK},
	} {
		var d doctor
		d.checkKey(token.KeyInfo{ID: "k", Algorithm: "EdDSA", Signs: c.signs}, c.since, now)
		d.wantStatus(t, name, c.want)
	}
}
