package fuzz_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"user-service/internal/testkit"
	"user-service/pkg/postgres/postgrestest"
	"user-service/test/fuzz/contract"
	"user-service/test/replica"
)

const (
	workers    = 4
	pairs      = 8    // Percentage of requests with a concurrent second request.
	mostFaults = 20   // The test stops reporting after this number.
	busy       = 1000 // One in 1000 responses may be late or a 503, because the machine may be busy. A retry must be neither.
)

// TestAnswersToRandomRequestsAreDescribed sends valid and invalid requests, generated from the description, by all kinds of
// callers. Each response must be in time, match the description, and not be a failure. Afterwards the process must hold no more
// resources than before.
func TestAnswersToRandomRequestsAreDescribed(t *testing.T) { //nolint:paralleltest // it measures time
	dsn := postgrestest.URL(t)
	// Hashes are cheap, because they are not tested here.
	r := replica.Start(t, *program, dsn, map[string]string{
		"RATE_LIMIT_PER_MINUTE": "20", "ACCOUNT_RATE_LIMIT_PER_MINUTE": "600", "TRUSTED_PROXIES": "127.0.0.0/8",
		"PASSWORD_HASH_QUEUE": "1000",
		"JWT_ISSUER":          "https://id.example.com", // so that the metadata is served
		"DATA_KEY":            newDataKey(),
		"WEBAUTHN_RP_ID":      "shop.example.com", "WEBAUTHN_ORIGINS": "https://shop.example.com",
	})
	c := served(t, r)
	p := newPeople(t, r, dsn)
	f := &fuzzer{t: t, r: r, c: c, p: p, counts: map[string]map[int]int{}}
	before := r.Idle(t.Context())
	began := time.Now()
	if *only >= 0 {
		f.one(*only, []*client{{addr: r.Addr}, {addr: r.Addr}})
		return
	}
	f.all()
	t.Logf("%d requests in %s; the slowest response took %s; %d were repeated", f.sent.Load(), time.Since(began).Round(time.Second),
		f.slowest, f.again)
	t.Log(f.table())
	f.requireSuccesses()
	f.demandQuiet()
	after := replica.Held{}
	if !testkit.Await(t.Context(), testkit.Timeout, func() (ok bool) { after, ok = r.Holds(); return ok && !after.Leaks(before) }) {
		t.Errorf("the process holds %s, and held %s before", after, before)
	}
	t.Logf("before: %s; after: %s", before, after)
}

func newDataKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return base64.StdEncoding.EncodeToString(key)
}

// served returns the description that the program serves, with the limits in force.
func served(t *testing.T, r *replica.Replica) *contract.Contract {
	t.Helper()
	resp, err := http.Get(r.URL + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	c, err := contract.New(raw)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return c
}

// fuzzer sends requests and counts the responses.
type fuzzer struct {
	t    *testing.T
	r    *replica.Replica
	c    *contract.Contract
	p    *people
	next atomic.Int64
	sent atomic.Int64

	mu      sync.Mutex
	counts  map[string]map[int]int // operation, status
	slowest time.Duration
	again   int
	faults  int
}

// all sends all requests.
func (f *fuzzer) all() {
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			clients := []*client{{addr: f.r.Addr}, {addr: f.r.Addr}}
			defer clients[0].close()
			defer clients[1].close()
			for number := int(f.next.Add(1)) - 1; number < *requests && !f.isEnough(); number = int(f.next.Add(1)) - 1 {
				f.one(number, clients)
			}
		})
	}
	wg.Wait()
}

// one sends request number, sometimes with a concurrent second request about the same account.
func (f *fuzzer) one(number int, clients []*client) {
	g := newGenerator(f.c, f.p, number)
	both := []*generator{g}
	if g.chance(pairs) {
		both = append(both, g.second())
	}
	var wires []*wire
	for _, g := range both {
		wires = append(wires, g.request())
	}
	answers := make([]answered, len(both))
	var wg sync.WaitGroup
	for i := range both {
		wg.Go(func() { answers[i] = clients[i].send(wires[i]) })
	}
	wg.Wait()
	for i, g := range both {
		f.look(g, wires[i], answers[i], clients[i])
	}
}

// look checks a response, and stores the state that it contains.
func (f *fuzzer) look(g *generator, w *wire, a answered, c *client) {
	f.count(g, a)
	wrong := g.judge(a)
	if late := a.took > answerTime && a.err == nil; late || a.Status == http.StatusServiceUnavailable {
		wrong = append(wrong, f.ask(g, w, c)...)
	}
	if len(wrong) > 0 {
		f.report(g, w, a, wrong)
	} else if *only >= 0 {
		f.t.Logf("%s\n%d in %s %s", w.curl(f.r.Addr), a.Status, a.took, a.ResponseBody)
	}
	switch {
	case a.Status == http.StatusUnauthorized, a.Status == http.StatusForbidden && strings.Contains(string(a.ResponseBody),
		"/problems/forbidden") && g.as == admin:
		f.p.lose(g.as, g.callerSlot)
	case a.Status == http.StatusCreated:
		var u struct{ ID string }
		_ = json.Unmarshal(a.ResponseBody, &u)
		f.p.tokens.know(u.ID)
	}
}

// ask sends a request a second time if its first response was late or a 503, because the machine may have been busy. It returns what is
// wrong with the last response.
func (f *fuzzer) ask(g *generator, w *wire, c *client) (wrong []string) {
	a := c.send(w)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.again++
	if a.took > answerTime || a.Status >= 500 {
		wrong = append(wrong, fmt.Sprintf("late or 503, and again: %d in %s", a.Status, a.took))
	}
	if f.again > 1+*requests/busy {
		wrong = append(wrong, "too many answers are late or a 503")
	}
	return append(wrong, g.judge(a)...)
}

func (f *fuzzer) count(g *generator, a answered) {
	f.sent.Add(1)
	name := "(no operation)"
	if op, _ := f.c.Find(a.Method, a.Target); op != nil {
		name = op.ID
	}
	if g.malformed {
		name = "(malformed)"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts[name] == nil {
		f.counts[name] = map[int]int{}
	}
	f.counts[name][a.Status]++
	f.slowest = max(f.slowest, a.took)
}

func (f *fuzzer) isEnough() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.faults >= mostFaults
}

// report logs the fault and a command that repeats it.
func (f *fuzzer) report(g *generator, w *wire, a answered, wrong []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.faults++; f.faults > mostFaults {
		return
	}
	f.t.Errorf("request %d (%s): %s\n%s\n%d in %s %.1000s\n"+
		"again: tools/dev/with-services go test ./test/fuzz -run Random -args -seed %d -number %d",
		g.number, g.op.ID, strings.Join(wrong, "\n"), w.curl(f.r.Addr), a.Status, a.took, a.ResponseBody, *seed, g.number)
}

// table returns the number of requests by operation and status.
func (f *fuzzer) table() string {
	var b strings.Builder
	b.WriteString("requests by operation and status:\n")
	for _, name := range slices.Sorted(maps.Keys(f.counts)) {
		sum := 0
		var cells []string
		for _, status := range slices.Sorted(maps.Keys(f.counts[name])) {
			sum += f.counts[name][status]
			cells = append(cells, fmt.Sprintf("%d: %d", status, f.counts[name][status]))
		}
		fmt.Fprintf(&b, "%-26s %6d  %s\n", name, sum, strings.Join(cells, ", "))
	}
	return b.String()
}

// devices are the operations that need an authenticator app or a passkey, or a factor that was confirmed with one. The generator has none
// of these devices.
var devices = []string{"confirmFactor", "deleteFactor", "loginWithPasskey", "loginWithSecondFactor", "newRecoveryCodes", "removeFactor"}

// requireSuccesses fails if one of the other operations never succeeded, because then the requests did not test it.
func (f *fuzzer) requireSuccesses() {
	for _, op := range f.c.Operations {
		n := 0
		for status, count := range f.counts[op.ID] {
			if status < 400 {
				n += count
			}
		}
		if n == 0 && !slices.Contains(devices, op.ID) {
			f.t.Errorf("%s never succeeded", op.ID)
		}
	}
}

// demandQuiet fails if the log has an error or a secret.
func (f *fuzzer) demandQuiet() {
	told := 0
	f.r.EachLine(func(line string) {
		isError := strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, "panic")
		isSecret := strings.Contains(line, "@example.com") || strings.Contains(line, "seven green kettles") || strings.Contains(line,
			"nine violet anchors")
		if told < 5 && (isError || isSecret) {
			f.t.Errorf("the log contains %.500s", line)
			told++
		}
	})
}
