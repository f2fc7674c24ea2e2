//go:build !race

package password

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// requestTime is the time limit of a request. On an idle machine the costliest hashes take about 1 s.
const requestTime = 1800 * time.Millisecond

// TestEveryHashFitsIntoTheTimeLimitOfARequest measures the CPU time of the costliest accepted hash of each format, on one thread. It
// measures CPU time because this depends little on the load of the machine. It does not run under the race detector, where a hash takes
// ten times as long.
func TestEveryHashFitsIntoTheTimeLimitOfARequest(t *testing.T) { //nolint:paralleltest // it measures CPU time
	for name, text := range map[string]string{
		"argon2id":     "$argon2id$v=19$m=524288,t=2,p=1$" + salt16 + "$" + key32,
		"argon2i":      "$argon2i$v=19$m=102400,t=10,p=1$" + salt16 + "$" + key32,
		"bcrypt":       "$2b$14" + bcryptText[6:],
		"PBKDF2":       "pbkdf2_sha256$2000000$salt$" + key32 + "=",
		"new argon2id": newArgon2id(Params{MemoryKiB: 102400, Iterations: 5, Parallelism: 1}).String(),
	} {
		h, err := parse(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		limit := requestTime
		if name == "new argon2id" { // a password change computes two hashes
			limit /= 2
		}
		took := cpuTime(t, limit, func() { h.matches("password", false) })
		t.Logf("%s: %s", name, took)
		if took > limit {
			t.Errorf("%s takes %s, want at most %s", name, took, limit)
		}
	}
}

// cpuTime runs work up to three times, and returns the shortest CPU time. It stops after a run that takes at most enough.
func cpuTime(t *testing.T, enough time.Duration, work func()) time.Duration {
	t.Helper()
	shortest := time.Hour
	for run := 0; run < 3 && shortest > enough; run++ {
		runtime.GC()
		before := usage(t)
		work()
		shortest = min(shortest, usage(t)-before)
	}
	return shortest
}

func usage(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
