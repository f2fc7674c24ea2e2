package httpapi_test

import (
	"net/http"
	"testing"
	"time"

	"user-service/pkg/event"
	"user-service/pkg/postgres/postgrestest"
)

// TestExpiryUsesTheDatabaseClock checks the expiry of sessions and tokens while the clocks of the replica and the database differ by hours.
func TestExpiryUsesTheDatabaseClock(t *testing.T) {
	t.Parallel()
	for wrong, off := range map[string]time.Duration{"3 hours": 3 * time.Hour, "-3 hours": -3 * time.Hour} {
		t.Run(wrong, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(set *settings) { set.database = postgrestest.WithClock(t, postgrestest.URL(t), wrong) })
			a := s.register()
			token := s.askForReset(a.Email)
			_, issued := lastEvent[tokenIssued](t, s, event.PasswordResetRequested)
			s.wantLasting("one_time_tokens", issued.ExpiresAt.Sub(time.Now().Add(off)))
			s.confirmReset(token, newPassword).want(t, http.StatusNoContent)

			a.password = newPassword
			a = s.login(a)
			s.wantLasting("sessions", time.Hour)
			changed := s.call("PUT", "/users/me/password", change(newPassword, goodPassword), as(a.token))
			changed.want(t, http.StatusOK)
			s.wantLasting("sessions", time.Hour)
			refresh := decode[map[string]any](t, changed)["refresh_token"]
			s.call("POST", "/refresh", map[string]any{"refresh_token": refresh}).want(t, http.StatusOK)
			s.wantLasting("sessions", time.Hour)
		})
	}
}

// wantLasting checks the remaining lifetime of the newest row of a table, by the database's clock.
func (s *server) wantLasting(table string, want time.Duration) {
	s.t.Helper()
	var lasts float64
	conn := s.connect()
	defer func() { _ = conn.Close(s.t.Context()) }()
	if err := conn.QueryRow(s.t.Context(),
		`SELECT extract(epoch FROM max(expires_at) - now())::float8 FROM `+table).Scan(&lasts); err != nil {
		s.t.Fatal(err)
	}
	if got := time.Duration(lasts * float64(time.Second)); (got - want).Abs() > time.Minute {
		s.t.Errorf("the newest row of %s expires in %s, want %s", table, got, want)
	}
}
