package password

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const todaysCost = "$argon2id$v=19$m=64,t=1,p=1" // of cheap

// picked returns the parts of the accounts that do not exist, by their cost.
func picked(t *testing.T, h *Hasher) map[string]float64 {
	t.Helper()
	const n = 20_000
	random := rand.New(rand.NewPCG(1, 2))
	parts := map[string]float64{}
	for range n {
		found := Stored{Number: random.Uint64()}
		hash, err := h.read(&found)
		if err != nil {
			t.Fatal(err)
		}
		parts[hash.cost()] += 1.0 / n
	}
	return parts
}

func TestAccountsThatDoNotExistCostAsThoseThatDo(t *testing.T) {
	t.Parallel()
	h := newHasher(t, cheap, ample, nil)
	const today = "argon2id m=64,t=1,p=1"
	tests := map[string]struct {
		counts []Count
		want   map[string]float64
	}{
		"not counted":          {nil, map[string]float64{today: 1}},
		"made here":            {[]Count{{todaysCost, todaysCost, 10}}, map[string]float64{today: 1}},
		"imported":             {[]Count{{"$2b$12", "$2b$12", 10}}, map[string]float64{"bcrypt 12": 1}},
		"some of today":        {[]Count{{"$2b$12", "$2b$12", 10}, {todaysCost, todaysCost, 30}}, map[string]float64{"bcrypt 12": 0.25, today: 0.75}},
		"some replaced":        {[]Count{{"$2b$12", "$2b$12", 10}, {"$2b$12", todaysCost, 30}}, map[string]float64{"bcrypt 12": 0.25, today: 0.75}},
		"all replaced":         {[]Count{{"$2b$12", todaysCost, 30}}, map[string]float64{today: 1}},
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
		"the same in other words": {[]Count{
			{"$2a$12", "$2a$12", 1},
			{"$2b$12", "$2b$12", 1},
			{"$2y$12", "$2y$12", 1},
			{todaysCost, todaysCost, 197},
			{"$argon2id$v=19$t=1,p=1,m=64", "$argon2id$v=19$t=1,p=1,m=64", 100},
		}, map[string]float64{"bcrypt 12": 0.01, today: 0.99}},
		"a hundredth":           {[]Count{{"$2b$12", "$2b$12", 1}, {todaysCost, todaysCost, 99}}, map[string]float64{"bcrypt 12": 0.01, today: 0.99}},
		"less than a hundredth": {[]Count{{"$2b$12", "$2b$12", 1}, {todaysCost, todaysCost, 100}}, map[string]float64{today: 1}},
		"not taken": {[]Count{
			{"$2b$15", "$2b$15", 10},
			{"$6$salt", "$6$salt", 10},
			{"", "", 5},
			{"$2b$", "$2b$", 5},
			{"$2b$12", "$2b$12", 10},
			{"$argon2id$v=19$m=524288,t=1,p=1", "$argon2id$v=19$m=524288,t=1,p=1", 10},
		}, map[string]float64{"bcrypt 12": 0.2, today: 0.8}},
	}
	for name, test := range tests {
		h.SetCosts(test.counts)
		if diff := cmp.Diff(test.want, picked(t, h), cmpopts.EquateApprox(0, 0.01)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestTheCostOfAnAccountThatDoesNotExistChangesAsThatOfOneThatDoes lets users of three imports log in at different
// rates, and others register, and looks at the same accounts all the time.
func TestTheCostOfAnAccountThatDoesNotExistChangesAsThatOfOneThatDoes(t *testing.T) {
	t.Parallel()
	h := newHasher(t, cheap, ample, nil)
	random := rand.New(rand.NewPCG(3, 4))
	imported := map[string]int64{"$2b$12": 5000, "pbkdf2_sha256$600000": 3000, "$argon2i$v=19$m=512,t=2,p=2": 2000}
	rates := map[string]float64{"$2b$12": 0.3, "pbkdf2_sha256$600000": 0.05, "$argon2i$v=19$m=512,t=2,p=2": 0.6}
	still := map[string]int64{}
	for cost, n := range imported {
		still[cost] = n
	}
	numbers := make([]uint64, 2000)
	for i := range numbers {
		numbers[i] = random.Uint64()
	}
	last := make([]string, len(numbers))
	changed := 0
	for hour := range 60 {
		counts := []Count{{todaysCost, todaysCost, int64(hour) * 100}}
		for cost, n := range imported {
			counts = append(counts, Count{cost, cost, still[cost]}, Count{cost, todaysCost, n - still[cost]})
			still[cost] -= int64(float64(still[cost]) * rates[cost])
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
				if now != h.nothing.cost() {
					t.Fatalf("the cost of an account changes from %s to %s in hour %d", last[i], now, hour)
				}
			}
			last[i] = now
		}
	}
	if changed < len(numbers)*9/10 {
		t.Errorf("%d of %d accounts have got the cost of today", changed, len(numbers))
	}
}

// spy keeps what it is asked for, and does no work.
type spy struct {
	inProcess

	asked []Stored
}

func (s *spy) matches(stored Stored, _ string) (bool, error) {
	s.asked = append(s.asked, stored)
	return false, nil
}

// TestAnUnknownAccountDoesTheWorkOfAnImportedOne, with as much memory.
func TestAnUnknownAccountDoesTheWorkOfAnImportedOne(t *testing.T) {
	t.Parallel()
	const cost = "$argon2id$v=19$m=128,t=3,p=2"
	h := newHasher(t, cheap, Limits{Concurrency: 4, MaxWait: 1}, nil)
	work := &spy{}
	h.work = work
	h.SetCosts([]Count{{cost, cost, 1}})
	got, err := h.Verify(t.Context(), Flow{}, "password", func(context.Context) (Stored, error) { return Stored{Number: 7}, nil })
	if err != nil || got.OK {
		t.Errorf("Verify = %+v, %v", got, err)
	}
	if len(work.asked) != 1 || !strings.HasPrefix(work.asked[0].Hash, cost+"$") || !work.asked[0].Imported {
		t.Fatalf("it is checked against %+v", work.asked)
	}
	hash, err := h.parse(work.asked[0].Hash)
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
