package httpapi

import "time"

// MaxBodies is the bound of bytes of bodies, for tests from outside.
const MaxBodies = maxBodies

// StopClock keeps all quotas from refilling, so that no test depends on its own pace.
func (a *API) StopClock() {
	if q := a.quotas; q.addresses != nil {
		q.addresses.stop()
		q.resets.stop()
		q.refreshes.stop()
		q.sessions.stop()
	}
	if q := a.quotas; q.accounts != nil {
		q.accounts.stop()
	}
}

func (l *limiter[K]) stop() {
	now := time.Now()
	l.now = func() time.Time { return now }
}
