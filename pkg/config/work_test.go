package config_test

import (
	"strconv"
	"testing"

	"user-service/pkg/password"
)

// TestTheWorkLimitOfAHashIsThatOfPackagePassword compares the limits of both packages. With a value that only package config accepts, the
// service could not start.
func TestTheWorkLimitOfAHashIsThatOfPackagePassword(t *testing.T) {
	t.Parallel()
	const kib = password.MaxWorkKiB / 8
	for iterations, accepted := range map[int]bool{8: true, 9: false} {
		env := required()
		env["ARGON2_MEMORY_KIB"], env["ARGON2_ITERATIONS"] = strconv.Itoa(kib), strconv.Itoa(iterations)
		_, err := load(t, env)
		if (err == nil) != accepted {
			t.Errorf("%d KiB times %d: %v, want accepted: %t", kib, iterations, err, accepted)
		}
		_, err = password.NewHasher(password.Config{
			Params: password.Params{MemoryKiB: kib, Iterations: uint32(iterations), Parallelism: 1},
			Limits: password.Limits{Concurrency: 1, MaxWait: 1},
		})
		if (err == nil) != accepted {
			t.Errorf("package password: %d KiB times %d: %v, want accepted: %t", kib, iterations, err, accepted)
		}
	}
}
