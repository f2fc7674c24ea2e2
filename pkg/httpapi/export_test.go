package httpapi

import "time"

// MaxBodies exports maxBodies, in bytes, to the tests of the external test package.
const MaxBodies = maxBodies

// StopClock stops the refill of all quotas, so that no test depends on its own speed.
func (a *API) StopClock() {
	if q := a.quotas; q.addresses != nil {
		q.addresses.stop()
		q.resets.stop()
		q.refreshes.stop()
		q.sessions.stop()
		q.accountAddresses.stop()
	}
	if q := a.quotas; q.accounts != nil {
		q.accounts.stop()
	}
}

func (l *limiter[K]) stop() {
	now := time.Now()
	l.now = func() time.Time { return now }
}
