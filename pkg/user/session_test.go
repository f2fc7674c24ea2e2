package user

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	idle     = 30 * 24 * time.Hour
	absolute = 90 * 24 * time.Hour
	login    = time.Date(2026, 1, 1, 12, 0, 0, 900_000_000, time.UTC) // 0.1 s before the next full second
)

// service has no clock: refreshes use the time of the database.
var service = &Service{cfg: Config{RefreshIdleTTL: idle, RefreshTTL: absolute}}

// TestOutcomesOfARefreshToken presents tokens of a session at several times after its last rotation. The current token has the number 5,
// and the last rotation was an hour after the login.
func TestOutcomesOfARefreshToken(t *testing.T) {
	t.Parallel()
	at := login.Add(time.Hour)
	session := Session{Counter: 5, CreatedAt: login, RotatedAt: at, ExpiresAt: at.Add(idle)}
	repeated, reused, expired := Rotation{Outcome: Repeated, Session: session}, Rotation{Outcome: Reused}, Rotation{Outcome: Expired}
	rotated := func(after time.Duration) Rotation {
		now := at.Add(after)
		return Rotation{Outcome: Rotated, Session: Session{Counter: 6, CreatedAt: login, RotatedAt: now, ExpiresAt: now.Add(idle)}}
	}
	for name, c := range map[string]struct {
		counter uint64
		after   time.Duration
		want    Rotation
	}{
		"current, immediately":                     {5, 0, rotated(0)},
		"current, later":                           {5, time.Hour, rotated(time.Hour)},
		"current, after a fraction of a second":    {5, 123456 * time.Microsecond, rotated(123456 * time.Microsecond)},
		"used, immediately":                        {4, 0, repeated},
		"used, by a clock that is behind":          {4, -time.Second, repeated},
		"used, clock set back since":               {4, -time.Hour, reused},
		"used, just within the grace":              {4, 10*time.Second - time.Microsecond, repeated},
		"used, after exactly the grace":            {4, 10 * time.Second, repeated},
		"used, a microsecond after the grace":      {4, 10*time.Second + time.Microsecond, reused},
		"used, less than a second after the grace": {4, 10*time.Second + 50*time.Millisecond, reused},
		"used, a second after the grace":           {4, 11 * time.Second, reused},
		"used, long ago":                           {4, 24 * time.Hour, reused},
		"used, before the previous one":            {3, 0, reused},
		"the first, immediately":                   {0, 0, reused},
		"the next, not issued yet":                 {6, 0, reused},
		"a far later one, not issued yet":          {1 << 63, 0, reused},
		"current, in the last microsecond":         {5, idle - time.Microsecond, rotated(idle - time.Microsecond)},
		"current, the session expired":             {5, idle, expired},
		"used, the session expired":                {4, idle, expired},
	} {
		got := service.rotate(Origin{}, session, c.counter, at.Add(c.after))
		if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestASessionEndsWhenUnusedOrOld(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ used, want time.Duration }{
		"new":                               {0, idle},
		"used after some time":              {time.Hour + time.Microsecond, time.Hour + time.Microsecond + idle},
		"used when both limits are equal":   {absolute - idle, absolute},
		"used a microsecond before that":    {absolute - idle - time.Microsecond, absolute - time.Microsecond},
		"used a microsecond after that":     {absolute - idle + time.Microsecond, absolute},
		"used at its absolute end":          {absolute, absolute},
		"used a microsecond before the end": {absolute - time.Microsecond, absolute},
		"used by a clock that is behind":    {-time.Second, idle - time.Second},
	} {
		got := service.expiry(Session{CreatedAt: login, RotatedAt: login.Add(c.used)})
		if want := login.Add(c.want); !got.Equal(want) {
			t.Errorf("%s: the session ends at %s, want %s", name, got, want)
		}
	}
}
