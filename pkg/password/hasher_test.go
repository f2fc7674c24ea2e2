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
	cheap = Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}
	owasp = Params{MemoryKiB: 19456, Iterations: 2, Parallelism: 1}
	ample = Limits{Concurrency: 2, Queue: 100, MaxWait: time.Minute}
)

func newHasher(t testing.TB, p Params, l Limits, o Observer) *Hasher {
	t.Helper()
	h, err := NewHasher(p, l, o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestNewHasherRefusesWhatIsOutOfBounds(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		params Params
		limits Limits
	}{
		"no parameters":      {Params{}, ample},
		"memory for no lane": {Params{MemoryKiB: 7, Iterations: 1, Parallelism: 1}, ample},
		"too much work":      {Params{MemoryKiB: 1 << 18, Iterations: 3, Parallelism: 1}, ample},
		"no concurrency":     {cheap, Limits{Concurrency: 0, Queue: 1, MaxWait: time.Second}},
		"negative queue":     {cheap, Limits{Concurrency: 1, Queue: -1, MaxWait: time.Second}},
		"no time to wait":    {cheap, Limits{Concurrency: 1, Queue: 1}},
	}
	for name, test := range tests {
		if _, err := NewHasher(test.params, test.limits, nil); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestHashMakesWhatVerifyTakes(t *testing.T) {
	t.Parallel()
	h := newHasher(t, owasp, ample, nil)
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
	written = "ﬁsh and 10 Å"  // a ligature and the sign of the ångström
	normal  = "fish and 10 Å" // the same in NFKC form
)

// TestPasswordsAreNormalized uses hashes of the NFKC form, by python3-argon2 and by Hash.
func TestPasswordsAreNormalized(t *testing.T) {
	t.Parallel()
	h := newHasher(t, cheap, ample, nil)
	const others = "$argon2id$v=19$m=128,t=2,p=1$dW5pY29kZXNhbHQuLi4uLg$wDM7L5dumlOFPr+Hx3CK5o4fzY9jMbjX6MyON4OStV0"
	ours, err := h.Hash(t.Context(), Flow{}, written)
	if err != nil {
		t.Fatal(err)
	}
	for _, phc := range []string{ours, others} {
		for _, password := range []string{written, normal, "fish and 10 A\u030a"} {
			if got, err := h.Verify(t.Context(), Flow{}, password, always(phc)); err != nil || !got.OK {
				t.Errorf("Verify(%+q, %s) = %+v, %v; want OK", password, phc, got, err)
			}
		}
	}
}

// TestImportedHashesAreOfWhatWasTyped even if they are by today's parameters: then they are replaced all the same.
func TestImportedHashesAreOfWhatWasTyped(t *testing.T) {
	t.Parallel()
	h := newHasher(t, cheap, ample, nil)
	elsewhere := newArgon2id(cheap)
	elsewhere.key = elsewhere.deriveTyped(written)
	for password, ok := range map[string]bool{written: true, normal: false} {
		got, err := h.Verify(t.Context(), Flow{}, password, imported(elsewhere.String()))
		if want := (Result{OK: ok, Rehash: true}); err != nil || got != want {
			t.Errorf("Verify(%+q) = %+v, %v; want %+v", password, got, err, want)
		}
	}
	if got, err := h.Verify(t.Context(), Flow{}, written, always(elsewhere.String())); err != nil || got.OK {
		t.Errorf("a hash of what was typed is taken though it was not imported: %+v, %v", got, err)
	}
}

func TestVerifyTellsWhatToHashAgain(t *testing.T) {
	t.Parallel()
	today := Params{MemoryKiB: 128, Iterations: 2, Parallelism: 2}
	h := newHasher(t, today, ample, nil)
	tests := map[string]struct {
		hash argon2id
		want bool
	}{
		"by today's parameters": {newArgon2id(today), false},
		"less memory":           {newArgon2id(Params{64, 2, 2}), true},
		"more memory":           {newArgon2id(Params{256, 2, 2}), true},
		"fewer iterations":      {newArgon2id(Params{128, 1, 2}), true},
		"more iterations":       {newArgon2id(Params{128, 3, 2}), true},
		"fewer lanes":           {newArgon2id(Params{128, 2, 1}), true},
		"more lanes":            {newArgon2id(Params{128, 2, 4}), true},
		"shorter salt":          {argon2id{Params: today, salt: make([]byte, 8), key: make([]byte, 32)}, true},
		"longer key":            {argon2id{Params: today, salt: make([]byte, 16), key: make([]byte, 64)}, true},
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

func TestVerifyOfABrokenHash(t *testing.T) {
	t.Parallel()
	h := newHasher(t, cheap, ample, nil)
	for name, phc := range broken {
		if phc == "" { // is nobody's
			continue
		}
		got, err := h.Verify(t.Context(), Flow{}, "password", always(phc))
		if !errors.Is(err, ErrUnknownFormat) || got != (Result{}) {
			t.Errorf("%s: %+v, %v; want ErrUnknownFormat", name, got, err)
		}
	}
}

// TestWorkIsTheSameWhateverIsStored counts the memory that each path takes, nearly all of
// which is argon2's. It is not parallel, so that nobody else's memory is counted.
func TestWorkIsTheSameWhateverIsStored(t *testing.T) { //nolint:paralleltest // see above
	var seen recorder
	params := Params{MemoryKiB: 8192, Iterations: 1, Parallelism: 1}
	h := newHasher(t, params, ample, &seen)
	if !h.nothing.hasParams(params) {
		t.Errorf("the dummy %s is not by today's parameters", h.nothing)
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
		seen.done = nil
		took := allocated(verify)
		if least := uint64(params.MemoryKiB) << 10; took < least || took > least+least/20 {
			t.Errorf("%s: took %d bytes, want %d and at most 5 %% more", name, took, least)
		}
		if len(seen.done) != 1 {
			t.Errorf("%s: %d hashes, want 1", name, len(seen.done))
		}
	}
}

// TestAPasswordThatIsNotNormalCostsOneHash whoever it is.
func TestAPasswordThatIsNotNormalCostsOneHash(t *testing.T) { //nolint:paralleltest // counts memory
	params := Params{MemoryKiB: 8192, Iterations: 1, Parallelism: 1}
	h := newHasher(t, params, ample, nil)
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
		if took, least := allocated(verify), uint64(params.MemoryKiB)<<10; took < least || took > least+least/20 {
			t.Errorf("%s: took %d bytes, want %d and at most 5 %% more", name, took, least)
		}
	}
}

// always is a hash that needs no database.
func always(phc string) func(context.Context) (Stored, error) {
	return func(context.Context) (Stored, error) { return Stored{Hash: phc}, nil }
}

// imported is always for a hash that was made elsewhere.
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

// TestATurnEndsWhateverTheDatabaseDoes: an error or a panic while the hash is read costs no turn.
func TestATurnEndsWhateverTheDatabaseDoes(t *testing.T) {
	t.Parallel()
	h := newHasher(t, cheap, Limits{Concurrency: 1, Queue: 0, MaxWait: time.Second}, nil)
	away := errors.New("away")
	if _, err := h.Verify(t.Context(), Flow{}, "a", func(context.Context) (Stored, error) { return Stored{}, away }); !errors.Is(err, away) {
		t.Errorf("Verify = %v, want the error of the database", err)
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = h.Verify(t.Context(), Flow{}, "a", func(context.Context) (Stored, error) { panic("a bug") })
	}()
	if _, err := h.Hash(t.Context(), Flow{}, "a"); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

// TestNobodyAsksTheDatabaseBeforeItsTurn: a storm of logins must not take the connections of others.
func TestNobodyAsksTheDatabaseBeforeItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(t, cheap, Limits{Concurrency: 1, Queue: 1, MaxWait: time.Second}, nil)
		defer occupy(h.queue)()
		_, err := h.Verify(t.Context(), Flow{}, "a", func(context.Context) (Stored, error) {
			t.Error("asked")
			return Stored{}, nil
		})
		if !errors.Is(err, ErrBusy) {
			t.Errorf("Verify = %v, want ErrBusy", err)
		}
	})
}

// TestAllWaysToHashAreBounded: none passes the queue by, and a busy Hasher does not say
// which hashes are broken.
func TestAllWaysToHashAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		h := newHasher(t, cheap, Limits{Concurrency: 1, Queue: 0, MaxWait: time.Second}, &seen)
		ways := map[string]func(context.Context) error{
			"Hash": func(ctx context.Context) error { _, err := h.Hash(ctx, Flow{}, "a"); return err },
			"Verify": func(ctx context.Context) error {
				_, err := h.Verify(ctx, Flow{}, "a", always(vectors[1].phc))
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
				t.Errorf("%s for nobody: %v, want context.Canceled alone", name, err)
			}
		}
		if h.Running() != 1 || h.Waiting() != 0 || len(seen.refused) != len(ways) {
			t.Errorf("%d run, %d wait, %d were refused; want 1, 0, %d", h.Running(), h.Waiting(), len(seen.refused), len(ways))
		}
	})
}

func TestAHashTakesTheMemoryThatItNeeds(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Params{MemoryKiB: 100, Iterations: 1, Parallelism: 1}, Limits{Concurrency: 4, Queue: 1, MaxWait: time.Second}, nil)
	for memory, want := range map[uint32]int64{8: 100, 100: 100, 101: 101, 400: 400} {
		if got := h.memory(argon2id{Params: Params{MemoryKiB: memory}}); got != want {
			t.Errorf("a hash of %d KiB takes %d, want %d", memory, got, want)
		}
	}
}

func TestAHashThatNeedsTooMuchMemoryIsRefused(t *testing.T) { //nolint:paralleltest // what others allocate would count
	for _, c := range []struct {
		today       uint32
		concurrency int
		most        uint32
	}{{19456, 1, 102400}, {19456, 6, 116736}, {131072, 2, 262144}} {
		h := newHasher(t, Params{MemoryKiB: c.today, Iterations: 1, Parallelism: 1}, Limits{Concurrency: c.concurrency, MaxWait: time.Second}, nil)
		hash := func(kib uint32) string {
			return newArgon2id(Params{MemoryKiB: kib, Iterations: 1, Parallelism: 1}).String()
		}
		if err := h.Check(hash(c.most)); err != nil {
			t.Errorf("%d KiB times %d: %v", c.today, c.concurrency, err)
		}
		err := h.Check(hash(c.most + 1))
		if err == nil || !strings.Contains(err.Error(), "PASSWORD_HASH_CONCURRENCY times ARGON2_MEMORY_KIB") {
			t.Errorf("%d KiB times %d: %v, want to be told what admits it", c.today, c.concurrency, err)
		}
		if c.today > 20000 {
			continue
		}
		var got Result
		took := allocated(func() { got, err = h.Verify(t.Context(), Flow{}, "password", always(hash(1<<19))) })
		if got.OK || !errors.Is(err, ErrUnknownFormat) || took < uint64(c.today)<<10 || took > uint64(c.today)<<11 {
			t.Errorf("a hash of 512 MiB gives %+v, %v and takes %d bytes, want today's work for nobody", got, err, took)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	h := newHasher(b, owasp, ample, nil)
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
