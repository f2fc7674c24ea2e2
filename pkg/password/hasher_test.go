package password

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	lowCost    = Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}
	owasp      = Params{MemoryKiB: 19456, Iterations: 2, Parallelism: 1}
	wideLimits = Limits{Concurrency: 2, Queue: 100, MaxWait: time.Minute}
)

func newHasher(t testing.TB, cfg Config) *Hasher {
	t.Helper()
	h, err := NewHasher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestNewHasherRefusesValuesOutOfBounds(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		params Params
		limits Limits
	}{
		"no parameters":                 {Params{}, wideLimits},
		"memory for less than one lane": {Params{MemoryKiB: 7, Iterations: 1, Parallelism: 1}, wideLimits},
		"too much work":                 {Params{MemoryKiB: 1 << 18, Iterations: 3, Parallelism: 1}, wideLimits},
		"no concurrency":                {lowCost, Limits{Concurrency: 0, Queue: 1, MaxWait: time.Second}},
		"negative queue":                {lowCost, Limits{Concurrency: 1, Queue: -1, MaxWait: time.Second}},
		"no maximum wait":               {lowCost, Limits{Concurrency: 1, Queue: 1}},
	}
	for name, test := range tests {
		if _, err := NewHasher(Config{Params: test.params, Limits: test.limits}); err == nil {
			t.Errorf("%s: NewHasher succeeds, want an error", name)
		}
	}
}

func TestVerifyAcceptsWhatHashReturns(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Config{Params: owasp, Limits: wideLimits})
	const password = "seven green kettles sing"
	first, err := h.Hash(t.Context(), Flow{}, password)
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.Hash(t.Context(), Flow{}, password)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(first, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("Hash = %q", first)
	}
	if first == second {
		t.Error("two hashes have the same salt")
	}
	tests := map[string]bool{password: true, password + " ": false, "Seven green kettles sing": false, "": false}
	for given, ok := range tests {
		got, err := h.Verify(t.Context(), Flow{}, given, always(first))
		if want := (Result{OK: ok}); err != nil || got != want {
			t.Errorf("Verify(%q) = %+v, %v; want %+v", given, got, err, want)
		}
	}
}

const (
	typed = "ﬁsh and 10 Å"  // with a ligature and the ångström sign
	nfkc  = "fish and 10 Å" // the same text in NFKC
)

// TestPasswordsAreNormalized verifies different forms of a password against hashes of its NFKC form, which python3-argon2 and Hash
// computed. All forms must match.
func TestPasswordsAreNormalized(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Config{Params: lowCost, Limits: wideLimits})
	const python = "$argon2id$v=19$m=128,t=2,p=1$dW5pY29kZXNhbHQuLi4uLg$wDM7L5dumlOFPr+Hx3CK5o4fzY9jMbjX6MyON4OStV0"
	ours, err := h.Hash(t.Context(), Flow{}, typed)
	if err != nil {
		t.Fatal(err)
	}
	for _, phc := range []string{ours, python} {
		for _, password := range []string{typed, nfkc, "fish and 10 A\u030a"} {
			if got, err := h.Verify(t.Context(), Flow{}, password, always(phc)); err != nil || !got.OK {
				t.Errorf("Verify(%+q, %s) = %+v, %v; want OK", password, phc, got, err)
			}
		}
	}
}

// TestImportedHashesAreOfThePasswordAsTyped verifies passwords against an imported hash. Only the password as it was typed may match, and
// the hash must be replaced even if it has the current parameters.
func TestImportedHashesAreOfThePasswordAsTyped(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Config{Params: lowCost, Limits: wideLimits})
	foreign := newArgon2id(lowCost)
	foreign.key = foreign.deriveTyped(typed)
	for password, ok := range map[string]bool{typed: true, nfkc: false} {
		got, err := h.Verify(t.Context(), Flow{}, password, imported(foreign.String()))
		if want := (Result{OK: ok, Rehash: true}); err != nil || got != want {
			t.Errorf("Verify(%+q) = %+v, %v; want %+v", password, got, err, want)
		}
	}
	if got, err := h.Verify(t.Context(), Flow{}, typed, always(foreign.String())); err != nil || got.OK {
		t.Errorf("a hash of the password as typed matches without being imported: %+v, %v", got, err)
	}
}

func TestVerifyReportsWhatToRehash(t *testing.T) {
	t.Parallel()
	current := Params{MemoryKiB: 128, Iterations: 2, Parallelism: 2}
	h := newHasher(t, Config{Params: current, Limits: wideLimits})
	tests := map[string]struct {
		hash argon2id
		want bool
	}{
		"current parameters": {newArgon2id(current), false},
		"less memory":        {newArgon2id(Params{64, 2, 2}), true},
		"more memory":        {newArgon2id(Params{256, 2, 2}), true},
		"fewer iterations":   {newArgon2id(Params{128, 1, 2}), true},
		"more iterations":    {newArgon2id(Params{128, 3, 2}), true},
		"fewer lanes":        {newArgon2id(Params{128, 2, 1}), true},
		"more lanes":         {newArgon2id(Params{128, 2, 4}), true},
		"shorter salt":       {argon2id{Params: current, salt: make([]byte, 8), key: make([]byte, 32)}, true},
		"longer key":         {argon2id{Params: current, salt: make([]byte, 16), key: make([]byte, 64)}, true},
	}
	for name, test := range tests {
		test.hash.key = test.hash.derive("right")
		for password, ok := range map[string]bool{"right": true, "wrong": false} {
			got, err := h.Verify(t.Context(), Flow{}, password, always(test.hash.String()))
			if want := (Result{OK: ok, Rehash: test.want}); err != nil || got != want {
				t.Errorf("%s: Verify(%q) = %+v, %v; want %+v", name, password, got, err, want)
			}
		}
	}
}

func TestVerifyWithAnInvalidHash(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Config{Params: lowCost, Limits: wideLimits})
	for name, phc := range invalidHashes {
		if phc == "" { // means an account that does not exist
			continue
		}
		got, err := h.Verify(t.Context(), Flow{}, "password", always(phc))
		if !errors.Is(err, ErrUnknownFormat) || got != (Result{}) {
			t.Errorf("%s: %+v, %v; want ErrUnknownFormat", name, got, err)
		}
	}
}

// TestTheWorkDoesNotDependOnTheStoredHash measures how much memory a verification allocates for each kind of stored hash. Nearly all
// memory is allocated for argon2, so it shows the work. The test is not parallel, because other tests allocate memory too.
func TestTheWorkDoesNotDependOnTheStoredHash(t *testing.T) { //nolint:paralleltest // it measures allocations
	var observed recorder
	params := Params{MemoryKiB: 8192, Iterations: 1, Parallelism: 1}
	h := newHasher(t, Config{Params: params, Limits: wideLimits, Observer: &observed})
	if !h.dummy.hasParams(params) {
		t.Errorf("the dummy %s does not have the current parameters", h.dummy)
	}
	phc, err := h.Hash(t.Context(), Flow{}, "seven green kettles sing")
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]func(){
		"right":   func() { _, _ = h.Verify(t.Context(), Flow{}, "seven green kettles sing", always(phc)) },
		"wrong":   func() { _, _ = h.Verify(t.Context(), Flow{}, "seven green kettles sink", always(phc)) },
		"unknown": func() { _, _ = h.Verify(t.Context(), Flow{}, "seven green kettles sing", always("")) },
		"broken":  func() { _, _ = h.Verify(t.Context(), Flow{}, "seven green kettles sing", always("broken")) },
	}
	for name, verify := range paths {
		observed.done = nil
		got := allocated(verify)
		if want := uint64(params.MemoryKiB) << 10; got < want || got > want+want/20 {
			t.Errorf("%s: allocates %d bytes, want %d and at most 5 %% more", name, got, want)
		}
		if len(observed.done) != 1 {
			t.Errorf("%s: %d hashes were computed, want 1", name, len(observed.done))
		}
	}
}

// TestAnUnnormalizedPasswordCostsOneHash measures how much memory a verification of a password that is not in NFKC allocates. It must be
// the memory of one hash for each kind of stored hash.
func TestAnUnnormalizedPasswordCostsOneHash(t *testing.T) { //nolint:paralleltest // counts memory
	params := Params{MemoryKiB: 8192, Iterations: 1, Parallelism: 1}
	h := newHasher(t, Config{Params: params, Limits: wideLimits})
	const right, wrong = "decomposed e\u0301", "decomposed a\u0301"
	phc, err := h.Hash(t.Context(), Flow{}, right)
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]func(){
		"right":    func() { _, _ = h.Verify(t.Context(), Flow{}, right, always(phc)) },
		"wrong":    func() { _, _ = h.Verify(t.Context(), Flow{}, wrong, always(phc)) },
		"imported": func() { _, _ = h.Verify(t.Context(), Flow{}, wrong, imported(phc)) },
		"unknown":  func() { _, _ = h.Verify(t.Context(), Flow{}, wrong, always("")) },
		"broken":   func() { _, _ = h.Verify(t.Context(), Flow{}, wrong, always("broken")) },
	}
	for name, verify := range paths {
		if got, want := allocated(verify), uint64(params.MemoryKiB)<<10; got < want || got > want+want/20 {
			t.Errorf("%s: allocates %d bytes, want %d and at most 5 %% more", name, got, want)
		}
	}
}

// always returns a load function for a hash that this service computed.
func always(phc string) func(context.Context) (Stored, error) {
	return func(context.Context) (Stored, error) { return Stored{Hash: phc}, nil }
}

// imported returns a load function for an imported hash.
func imported(phc string) func(context.Context) (Stored, error) {
	return func(context.Context) (Stored, error) { return Stored{Hash: phc, Imported: true}, nil }
}

func allocated(work func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	work()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestASlotIsReleasedIfLoadFails checks that the slot is released after an error or a panic of load.
func TestASlotIsReleasedIfLoadFails(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Config{Params: lowCost, Limits: Limits{Concurrency: 1, Queue: 0, MaxWait: time.Second}})
	errAway := errors.New("unavailable")
	fails := func(context.Context) (Stored, error) { return Stored{}, errAway }
	if _, err := h.Verify(t.Context(), Flow{}, "a", fails); !errors.Is(err, errAway) {
		t.Errorf("Verify = %v, want the error of the database", err)
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = h.Verify(t.Context(), Flow{}, "a", func(context.Context) (Stored, error) { panic("a bug") })
	}()
	if _, err := h.Hash(t.Context(), Flow{}, "a"); err != nil {
		t.Errorf("the next hash: %v", err)
	}
}

// TestLoadIsNotCalledBeforeASlotIsFree checks that load is not called while all slots are occupied. So a caller knows whether its hash has
// started.
func TestLoadIsNotCalledBeforeASlotIsFree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(t, Config{Params: lowCost, Limits: Limits{Concurrency: 1, Queue: 1, MaxWait: time.Second}})
		defer occupy(h.queue)()
		_, err := h.Verify(t.Context(), Flow{}, "a", func(context.Context) (Stored, error) {
			t.Error("load was called")
			return Stored{}, nil
		})
		if !errors.Is(err, ErrBusy) {
			t.Errorf("Verify = %v, want ErrBusy", err)
		}
	})
}

// TestEveryHashUsesTheQueue calls each method while the queue is full, and with a canceled context. Each call must return only this
// error, so that a busy Hasher does not reveal which stored hashes are invalid.
func TestEveryHashUsesTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var observed recorder
		h := newHasher(t, Config{Params: lowCost, Limits: Limits{Concurrency: 1, Queue: 0, MaxWait: time.Second}, Observer: &observed})
		ways := map[string]func(context.Context) error{
			"Hash": func(ctx context.Context) error { _, err := h.Hash(ctx, Flow{}, "a"); return err },
			"Verify": func(ctx context.Context) error {
				_, err := h.Verify(ctx, Flow{}, "a", always(argon2Vectors[1].phc))
				return err
			},
			"Verify of broken":  func(ctx context.Context) error { _, err := h.Verify(ctx, Flow{}, "a", always("broken")); return err },
			"Verify of nothing": func(ctx context.Context) error { _, err := h.Verify(ctx, Flow{}, "a", always("")); return err },
		}
		defer occupy(h.queue)()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for name, hash := range ways {
			if err := hash(t.Context()); !errors.Is(err, ErrBusy) || errors.Is(err, ErrUnknownFormat) {
				t.Errorf("%s while busy: %v, want ErrBusy alone", name, err)
			}
			if err := hash(gone); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnknownFormat) {
				t.Errorf("%s with a canceled context: %v, want context.Canceled alone", name, err)
			}
		}
		if h.Running() != 1 || h.Waiting() != 0 || len(observed.refused) != len(ways) {
			t.Errorf("%d hashes run, %d wait and %d were refused; want 1, 0 and %d", h.Running(), h.Waiting(),
				len(observed.refused), len(ways))
		}
	})
}

func TestAHashReservesTheMemoryThatItNeeds(t *testing.T) {
	t.Parallel()
	limits := Limits{Concurrency: 4, Queue: 1, MaxWait: time.Second}
	h := newHasher(t, Config{Params: Params{MemoryKiB: 100, Iterations: 1, Parallelism: 1}, Limits: limits})
	for memory, want := range map[uint32]int64{8: 100, 100: 100, 101: 101, 400: 400} {
		if got := h.memory(argon2id{Params: Params{MemoryKiB: memory}}); got != want {
			t.Errorf("a hash of %d KiB reserves %d KiB, want %d", memory, got, want)
		}
	}
}

func TestAHashThatNeedsTooMuchMemoryIsRefused(t *testing.T) { //nolint:paralleltest // it measures allocations
	for _, c := range []struct {
		memoryKiB   uint32
		concurrency int
		capKiB      uint32
	}{{19456, 1, 102400}, {19456, 6, 116736}, {131072, 2, 262144}} {
		h := newHasher(t, Config{
			Params: Params{MemoryKiB: c.memoryKiB, Iterations: 1, Parallelism: 1},
			Limits: Limits{Concurrency: c.concurrency, MaxWait: time.Second},
		})
		hash := func(kib uint32) string {
			return newArgon2id(Params{MemoryKiB: kib, Iterations: 1, Parallelism: 1}).String()
		}
		if err := h.Check(hash(c.capKiB)); err != nil {
			t.Errorf("%d KiB times %d: %v", c.memoryKiB, c.concurrency, err)
		}
		err := h.Check(hash(c.capKiB + 1))
		if err == nil || !strings.Contains(err.Error(), "PASSWORD_HASH_CONCURRENCY times ARGON2_MEMORY_KIB") {
			t.Errorf("%d KiB times %d: %v, want the settings that allow it", c.memoryKiB, c.concurrency, err)
		}
		if c.memoryKiB > 20000 {
			continue
		}
		var got Result
		bytes := allocated(func() { got, err = h.Verify(t.Context(), Flow{}, "password", always(hash(1<<19))) })
		if got.OK || !errors.Is(err, ErrUnknownFormat) || bytes < uint64(c.memoryKiB)<<10 || bytes > uint64(c.memoryKiB)<<11 {
			t.Errorf("a hash of 512 MiB: %+v, %v and %d bytes; want ErrUnknownFormat and the memory of a new hash", got, err, bytes)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	h := newHasher(b, Config{Params: owasp, Limits: wideLimits})
	phc, err := h.Hash(b.Context(), Flow{}, "seven green kettles sing")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if got, err := h.Verify(b.Context(), Flow{}, "seven green kettles sing", always(phc)); err != nil || !got.OK {
			b.Fatal(got, err)
		}
	}
}
