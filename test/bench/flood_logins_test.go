package bench_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// BenchmarkFloodOfLoginsFromOneNetwork logs in with unknown emails from the 256 /64s of one IPv6 /56.
func BenchmarkFloodOfLoginsFromOneNetwork(b *testing.B) {
	for _, f := range []struct {
		name, password string
		rate           float64
	}{
		{"rate=60", "seven green kettles sink", 60},
		{"rate=150", "seven green kettles sink", 150},
		{"rate=30/ligature", "seven green kettles ﬁll", 30}, // NFKC changes this password
	} {
		b.Run(f.name, func(b *testing.B) {
			s := newSite(b, nil)
			s.measure(b, s.send(f.rate, []int{http.StatusUnauthorized}, func(n int) request {
				return request{
					method: http.MethodPost, path: "/login", address: fmt.Sprintf("2001:db8:77:%x::1", n%256),
					body: loginBody(fmt.Sprintf("nobody-%d@example.com", n), f.password),
				}
			}))
		})
	}
}

// BenchmarkFloodOfCostlyHashes sends one wrong password a second to an account with the costliest imported hash that the service
// accepts.
func BenchmarkFloodOfCostlyHashes(b *testing.B) {
	for _, f := range []struct {
		name   string
		hashes []string // the costliest first
	}{
		{"argon2id", argon2idHashes()},
		{"bcrypt", bcryptHashes()},
	} {
		b.Run(f.name, func(b *testing.B) {
			s := newSite(b, nil)
			const email = "imported@example.com"
			hash := s.importCostliest(b, email, f.hashes)
			tooSlow := http.StatusServiceUnavailable // the hash did not end before the request's deadline
			wrong := s.send(1, []int{http.StatusUnauthorized, tooSlow}, func(int) request {
				return request{
					method: http.MethodPost, path: "/login", address: attackerAddress,
					body: loginBody(email, "seven green kettles sink"),
				}
			})
			wrong.notes = func(time.Duration) string { return "hash " + hash }
			s.measure(b, wrong)
		})
	}
}

func argon2idHashes() (hashes []string) {
	for _, iterations := range []int{64, 48, 32, 24, 20, 16, 14, 12, 10, 8, 6, 4} {
		hashes = append(hashes,
			fmt.Sprintf("$argon2id$v=19$m=65536,t=%d,p=1$c2FsdHNhbHRzYWx0c2FsdA$%s", iterations, strings.Repeat("A", 43)))
	}
	return hashes
}

func bcryptHashes() (hashes []string) {
	for cost := 16; cost >= 10; cost-- {
		hashes = append(hashes, fmt.Sprintf("$2b$%d$%s", cost, strings.Repeat(".", 53)))
	}
	return hashes
}

// importCostliest imports an account with the first of the hashes that the service accepts, and returns that hash.
func (s *site) importCostliest(b *testing.B, email string, hashes []string) string {
	b.Helper()
	program, err := buildProgram()
	if err != nil {
		b.Fatal(err)
	}
	var out []byte
	for _, hash := range hashes {
		cmd := exec.Command(program, "users", "import", "-")
		cmd.Env = s.cmd.Env
		cmd.Stdin = strings.NewReader(fmt.Sprintf(`{"email": %q, "password_hash": %q}`, email, hash) + "\n")
		if out, err = cmd.CombinedOutput(); err == nil {
			return hash
		}
	}
	b.Fatalf("no hash is accepted: %v\n%s", err, out)
	return ""
}
