package workload

import "time"

// SetTime replaces the clock of a verifier. Call it before Verify.
func (v *Verifier) SetTime(now func() time.Time) {
	v.keys.now = now
	v.parser = newParser(v.cfg, now)
}

// MaxWaiting is maxWaiting.
const MaxWaiting = maxWaiting
