package password

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const newCost = "$argon2id$v=19$m=64,t=1,p=1" // the cost of lowCost

// picked returns for each cost the share of unknown accounts that have it.
func picked(t *testing.T, h *Hasher) map[string]float64 {
	t.Helper()
	const n = 20_000
	random := rand.New(rand.NewPCG(1, 2))
	shares := map[string]float64{}
	for range n {
		found := Stored{Number: random.Uint64()}
		hash, err := h.read(&found)
		if err != nil {
			t.Fatal(err)
		}
		shares[hash.cost()] += 1.0 / n
	}
	return shares
}

func TestUnknownAccountsCostAsMuchAsExistingAccounts(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Config{Params: lowCost, Limits: wideLimits})
	const current = "argon2id m=64,t=1,p=1"
	tests := map[string]struct {
		counts []Count
		want   map[string]float64
	}{
		"not counted":  {nil, map[string]float64{current: 1}},
		"not imported": {[]Count{{newCost, newCost, 10}}, map[string]float64{current: 1}},
		"imported":     {[]Count{{"$2b$12", "$2b$12", 10}}, map[string]float64{"bcrypt 12": 1}},
		"some not imported": {
			[]Count{{"$2b$12", "$2b$12", 10}, {newCost, newCost, 30}},
			map[string]float64{"bcrypt 12": 0.25, current: 0.75},
		},
		"some replaced": {[]Count{
			{"$2b$12", "$2b$12", 10},
			{"$2b$12", newCost, 30},
		}, map[string]float64{"bcrypt 12": 0.25, current: 0.75}},
		"all replaced":         {[]Count{{"$2b$12", newCost, 30}}, map[string]float64{current: 1}},
		"replaced and changed": {[]Count{{"$2b$12", "$argon2id$v=19$m=32,t=1,p=1", 30}}, map[string]float64{"argon2id m=32,t=1,p=1": 1}},
		"of each format": {[]Count{
			{"$2b$12", "$2b$12", 10},
			{"$2y$10", "$2y$10", 20},
			{"pbkdf2_sha256$600000", "pbkdf2_sha256$600000", 10},
			{"$pbkdf2-sha256$29000", "$pbkdf2-sha256$29000", 10},
			{"$argon2i$v=19$m=512,t=2,p=2", "$argon2i$v=19$m=512,t=2,p=2", 20},
			{"$argon2id$v=19$m=102400,t=2,p=8", "$argon2id$v=19$m=102400,t=2,p=8", 30},
		}, map[string]float64{
			"bcrypt 12": 0.1, "bcrypt 10": 0.2, "pbkdf2 600000": 0.1, "pbkdf2 29000": 0.1,
			"argon2i m=512,t=2,p=2": 0.2, "argon2id m=102400,t=2,p=8": 0.3,
		}},
		"other notations": {[]Count{
			{"$2a$12", "$2a$12", 1},
			{"$2b$12", "$2b$12", 1},
			{"$2y$12", "$2y$12", 1},
			{newCost, newCost, 197},
			{"$argon2id$v=19$t=1,p=1,m=64", "$argon2id$v=19$t=1,p=1,m=64", 100},
		}, map[string]float64{"bcrypt 12": 0.01, current: 0.99}},
		"a hundredth": {
			[]Count{{"$2b$12", "$2b$12", 1}, {newCost, newCost, 99}},
			map[string]float64{"bcrypt 12": 0.01, current: 0.99},
		},
		"less than a hundredth": {[]Count{{"$2b$12", "$2b$12", 1}, {newCost, newCost, 100}}, map[string]float64{current: 1}},
		"invalid": {[]Count{
			{"$2b$15", "$2b$15", 10},
			{"$6$salt", "$6$salt", 10},
			{"", "", 5},
			{"$2b$", "$2b$", 5},
			{"$2b$12", "$2b$12", 10},
			{"$argon2id$v=19$m=524288,t=1,p=1", "$argon2id$v=19$m=524288,t=1,p=1", 10},
		}, map[string]float64{"bcrypt 12": 0.2, current: 0.8}},
	}
	for name, test := range tests {
		h.SetCosts(test.counts)
		if diff := cmp.Diff(test.want, picked(t, h), cmpopts.EquateApprox(0, 0.01)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestTheCostOfUnknownAccountsFollowsThatOfExistingAccounts simulates registrations, and logins to accounts from three imports at
// different rates. It checks the costs of the same unknown accounts each hour: a cost may change only to the cost of new hashes.
func TestTheCostOfUnknownAccountsFollowsThatOfExistingAccounts(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Config{Params: lowCost, Limits: wideLimits})
	random := rand.New(rand.NewPCG(3, 4))
	imported := map[string]int64{"$2b$12": 5000, "pbkdf2_sha256$600000": 3000, "$argon2i$v=19$m=512,t=2,p=2": 2000}
	rates := map[string]float64{"$2b$12": 0.3, "pbkdf2_sha256$600000": 0.05, "$argon2i$v=19$m=512,t=2,p=2": 0.6}
	remaining := map[string]int64{}
	for cost, n := range imported {
		remaining[cost] = n
	}
	numbers := make([]uint64, 2000)
	for i := range numbers {
		numbers[i] = random.Uint64()
	}
	last := make([]string, len(numbers))
	changed := 0
	for hour := range 60 {
		counts := []Count{{newCost, newCost, int64(hour) * 100}}
		for cost, n := range imported {
			counts = append(counts, Count{cost, cost, remaining[cost]}, Count{cost, newCost, n - remaining[cost]})
			remaining[cost] -= int64(float64(remaining[cost]) * rates[cost])
		}
		h.SetCosts(counts)
		for i, number := range numbers {
			found := Stored{Number: number}
			hash, err := h.read(&found)
			if err != nil {
				t.Fatal(err)
			}
			now := hash.cost()
			if hour > 0 && now != last[i] {
				changed++
				if now != h.dummy.cost() {
					t.Fatalf("the cost of an account changes from %s to %s in hour %d", last[i], now, hour)
				}
			}
			last[i] = now
		}
	}
	if changed < len(numbers)*9/10 {
		t.Errorf("%d of %d accounts changed to the cost of new hashes", changed, len(numbers))
	}
}

// spy records its calls and computes nothing.
type spy struct {
	inProcess

	requested []Stored
}

func (s *spy) matches(stored Stored, _ string) (bool, error) {
	s.requested = append(s.requested, stored)
	return false, nil
}

// TestAnUnknownAccountCostsAsMuchAsAnImportedAccount verifies a password for an unknown account after an import. The cost and the
// reserved memory must be those of the imported account.
func TestAnUnknownAccountCostsAsMuchAsAnImportedAccount(t *testing.T) {
	t.Parallel()
	const cost = "$argon2id$v=19$m=128,t=3,p=2"
	h := newHasher(t, Config{Params: lowCost, Limits: Limits{Concurrency: 4, MaxWait: 1}})
	computer := &spy{}
	h.computer = computer
	h.SetCosts([]Count{{cost, cost, 1}})
	got, err := h.Verify(t.Context(), Flow{}, "password", func(context.Context) (Stored, error) { return Stored{Number: 7}, nil })
	if err != nil || got.OK {
		t.Errorf("Verify = %+v, %v; want no match", got, err)
	}
	if len(computer.requested) != 1 || !strings.HasPrefix(computer.requested[0].Hash, cost+"$") || !computer.requested[0].Imported {
		t.Fatalf("the password is checked against %+v", computer.requested)
	}
	hash, err := h.parse(computer.requested[0].Hash)
	if err != nil || h.memory(hash) != 128 {
		t.Errorf("%v, %d KiB, want 128", err, h.memory(hash))
	}
}

func TestPrefixIsAllButTheKey(t *testing.T) {
	t.Parallel()
	for hash, want := range map[string]string{
		bcryptText: bcryptText[:29],
		"$argon2id$v=19$m=64,t=1,p=1$c2FsdA$a2V5": "$argon2id$v=19$m=64,t=1,p=1$c2FsdA$",
		"pbkdf2_sha256$1000$salt$a2V5=":           "pbkdf2_sha256$1000$salt$",
		"$pbkdf2-sha256$1000$c2FsdA$a2V5":         "$pbkdf2-sha256$1000$c2FsdA$",
		"":                                        "", "$2b$": "$2b$", "nothing": "",
	} {
		if got := Prefix(hash); got != want {
			t.Errorf("Prefix(%q) = %q, want %q", hash, got, want)
		}
	}
}
