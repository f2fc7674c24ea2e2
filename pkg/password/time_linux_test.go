//go:build !race

package password

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// requestTime is what a request has. On a machine that does nothing else the costliest hashes take about 1 s.
const requestTime = 1800 * time.Millisecond

// TestNoHashTakesLongerThanARequestHas measures the costliest hash of each format that is taken, alone on one thread, in
// time of the CPU, so that what else the machine does counts little. The race detector makes each ten times as dear.
func TestNoHashTakesLongerThanARequestHas(t *testing.T) { //nolint:paralleltest // as above
	for name, text := range map[string]string{
		"argon2id":                   "$argon2id$v=19$m=524288,t=2,p=1$" + salt16 + "$" + key32,
		"argon2i":                    "$argon2i$v=19$m=102400,t=10,p=1$" + salt16 + "$" + key32,
		"bcrypt":                     "$2b$14" + bcryptText[6:],
		"PBKDF2":                     "pbkdf2_sha256$2000000$salt$" + key32 + "=",
		"the most that is made here": newArgon2id(Params{MemoryKiB: 102400, Iterations: 5, Parallelism: 1}).String(),
	} {
		h, err := parse(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		most := requestTime
		if name == "the most that is made here" { // a change of a password takes two of them
			most /= 2
		}
		took := cpuTime(t, most, func() { h.matches("password", false) })
		t.Logf("%s: %s", name, took)
		if took > most {
			t.Errorf("%s takes %s, want at most %s", name, took, most)
		}
	}
}

// cpuTime returns the time of the CPU that the process takes for work: the least of three tries, or the first that is
// short enough.
func cpuTime(t *testing.T, enough time.Duration, work func()) time.Duration {
	t.Helper()
	least := time.Hour
	for try := 0; try < 3 && least > enough; try++ {
		runtime.GC()
		before := usage(t)
		work()
		least = min(least, usage(t)-before)
	}
	return least
}

func usage(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
