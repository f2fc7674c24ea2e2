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

// service has no clock: what a refresh needs of time comes from the database.
var service = &Service{cfg: Config{RefreshIdleTTL: idle, RefreshTTL: absolute}}

// TestWhatARefreshTokenDoesToItsSession shows tokens to a session whose living one is number
// 5, which was made an hour after the login.
func TestWhatARefreshTokenDoesToItsSession(t *testing.T) {
	t.Parallel()
	turned := login.Add(time.Hour)
	session := Session{Counter: 5, CreatedAt: login, RotatedAt: turned, ExpiresAt: turned.Add(idle)}
	successor, theft, over := Rotation{}, Rotation{End: TokenReused}, Rotation{End: SessionUsedAfterEnd}
	rotated := func(after time.Duration) Rotation {
		now := turned.Add(after)
		return Rotation{Session: &Session{Counter: 6, CreatedAt: login, RotatedAt: now, ExpiresAt: now.Add(idle)}}
	}
	for name, c := range map[string]struct {
		counter uint64
		after   time.Duration
		want    Rotation
	}{
		"living, at once":                    {5, 0, rotated(0)},
		"living, later":                      {5, time.Hour, rotated(time.Hour)},
		"living, in a fraction of a second":  {5, 123456 * time.Microsecond, rotated(123456 * time.Microsecond)},
		"spent, at once":                     {4, 0, successor},
		"spent, by a clock that is behind":   {4, -time.Second, successor},
		"spent, clock set back since":        {4, -time.Hour, theft},
		"spent, just within the grace":       {4, 10*time.Second - time.Microsecond, successor},
		"spent, after exactly the grace":     {4, 10 * time.Second, successor},
		"spent, just over the grace":         {4, 10*time.Second + time.Microsecond, theft},
		"spent, over by less than a second":  {4, 10*time.Second + 50*time.Millisecond, theft},
		"spent, a second over":               {4, 11 * time.Second, theft},
		"spent, long ago":                    {4, 24 * time.Hour, theft},
		"spent twice, at once":               {3, 0, theft},
		"the first, at once":                 {0, 0, theft},
		"one that is not made yet":           {6, 0, theft},
		"one that is not made yet, by a lot": {1 << 63, 0, theft},
		"living, in the last microsecond":    {5, idle - time.Microsecond, rotated(idle - time.Microsecond)},
		"living, of a session that is over":  {5, idle, over},
		"spent, of a session that is over":   {4, idle, over},
	} {
		if diff := cmp.Diff(c.want, service.rotate(Origin{}, session, c.counter, turned.Add(c.after)), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestASessionEndsWhenUnusedOrOld(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ used, want time.Duration }{
		"just begun":                     {0, idle},
		"used after some time":           {time.Hour + time.Microsecond, time.Hour + time.Microsecond + idle},
		"used when the rest is idle":     {absolute - idle, absolute},
		"used a little before that":      {absolute - idle - time.Microsecond, absolute - time.Microsecond},
		"used a little after that":       {absolute - idle + time.Microsecond, absolute},
		"used at the end of its time":    {absolute, absolute},
		"used in its last microsecond":   {absolute - time.Microsecond, absolute},
		"used by a clock that is behind": {-time.Second, idle - time.Second},
	} {
		got := service.expiry(Session{CreatedAt: login, RotatedAt: login.Add(c.used)})
		if want := login.Add(c.want); !got.Equal(want) {
			t.Errorf("%s: ends at %s, want %s", name, got, want)
		}
	}
}
