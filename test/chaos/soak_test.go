//go:build soak

package chaos_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"user-service/internal/testkit"
	"user-service/test/chaos/history"
	"user-service/test/chaos/steady"
)

var (
	soakMinutes = flag.Int("minutes", 30, "how long the soak runs")
	soakPicture = flag.String("picture", "", "the `file` that the picture of the soak is written to")
)

const (
	soakThinkTime = 200 * time.Millisecond // Of each client; the history of half an hour must fit into memory.
	soakTail      = 10 * time.Second       // The end of each minute, for the figures of the broker and the erasure of unused accounts.
)

// soakRule leaves out the first minutes: the pool and the caches fill, and each replica has its first fault.
var soakRule = steady.Rule{WarmUp: 3 * time.Minute, Minute: time.Minute, Calm: 20 * time.Second}

// soak is a long run with a fault in each minute.
type soak struct {
	*rig

	rng  *rand.Rand
	deck *deck
	// restarting is held while a fault ends and starts the process of a replica.
	restarting sync.Mutex

	figures sync.Mutex
	series  []*steady.Series
	counted struct { // the requests up to the last reading
		ops, refused int
		at           time.Duration
	}
}

// TestResourcesStaySteady runs a mixed load over two replicas with a fault in each minute. Memory, goroutines, connections and
// descriptors must not grow, and tables that hold only current data must not grow either. The promises of the other runs must hold too,
// except the promises about time.
//
// Faults that end a replica affect only replica 0, so that the processes of replica 1 run from start to end.
func TestResourcesStaySteady(t *testing.T) { //nolint:paralleltest // it measures time
	r := newRig(t, *firstSeed, topology{plain, single}, program)
	s := &soak{rig: r, rng: rand.New(rand.NewPCG(uint64(*firstSeed), 1))}
	s.deck = &deck{rng: s.rng, all: faultsOf(topology{plain, single})}
	people := s.newSoakCrowd()
	background, stop := context.WithCancel(t.Context())
	var watchers sync.WaitGroup
	for _, watch := range []func(context.Context){r.sample, r.watchMachine, r.watchDisk, r.readMail, s.measure, s.list} {
		watchers.Go(func() { watch(background) })
	}
	s.startSlowly(t.Context(), people)
	begun := r.now()
	for minute := range *soakMinutes {
		s.minute(t.Context(), minute, begun+time.Duration(minute)*soakRule.Minute)
	}
	ended := r.now() - begun
	people.stop()
	s.settle(t.Context(), people)
	stop()
	watchers.Wait()
	s.draw(begun, ended)
	s.judgeTrends(begun)
	s.judgeHistory(t.Context())
	r.shutDown()
}

// newSoakCrowd creates clients, each with separate people. Each person is erased at some time, so that no table has to grow.
func (s *soak) newSoakCrowd() *crowd {
	c := &crowd{}
	for n := range clientCount {
		c.clients = append(c.clients, s.newClient(n))
	}
	return c
}

// startSlowly runs all clients until stop.
func (s *soak) startSlowly(ctx context.Context, c *crowd) {
	ctx, c.leave = context.WithCancel(ctx)
	for _, one := range c.clients {
		c.work.Go(func() {
			for testkit.Pause(ctx, between(one.rng, soakThinkTime/2, soakThinkTime*3/2)) {
				one.step()
			}
		})
	}
}

// list reads the lists of users, sessions and audit entries until ctx ends, as an administrator's page does.
func (s *soak) list(ctx context.Context) {
	c := s.newClient(clientCount + 2)
	defer c.http.CloseIdleConnections()
	paths := []string{"/users?limit=50", "/users?q=person&limit=20", "/audit-events?limit=50", "/users/me/sessions", "/roles"}
	for testkit.Pause(ctx, soakThinkTime) {
		path := paths[c.rng.IntN(len(paths))]
		c.send(history.Op{Kind: "list"}, call{method: "GET", path: path, token: s.adminToken})
	}
}

// minute injects one fault, waits for the end of the minute and logs a summary.
func (s *soak) minute(ctx context.Context, number int, begin time.Duration) {
	e := epoch{}
	f := s.deck.draw(e)
	one := step{
		fault: f, at: between(s.rng, time.Second, 5*time.Second), lasts: between(s.rng, f.least, f.most),
		replica: s.rng.IntN(replicaCount), variant: s.rng.IntN(1 << 16),
	}
	if f.lane == replicas {
		one.replica = 0
	}
	e.steps = []step{one}
	if f.lane == replicas {
		s.restarting.Lock()
	}
	s.run(ctx, e)
	if f.lane == replicas {
		s.restarting.Unlock()
	}
	testkit.Pause(ctx, begin+soakRule.Minute-soakTail-s.now())
	s.eraseStrangers(ctx)
	s.measureBroker(ctx)
	testkit.Pause(ctx, begin+soakRule.Minute-s.now())
	s.say("minute %d of %d: %s; %s", number+1, *soakMinutes, f.kind, s.latest())
}

// draw writes the picture.
func (s *soak) draw(begun, ended time.Duration) {
	if *soakPicture == "" {
		return
	}
	p := steady.Picture{Title: fmt.Sprintf("Two replicas under load for %d minutes, with a fault in each", *soakMinutes), Length: ended}
	for _, one := range s.series {
		p.Series = append(p.Series, since(begun, one))
	}
	for _, f := range s.faults {
		if f.Kind != "busy machine" {
			p.Faults = append(p.Faults, steady.Fault{Kind: f.Kind, Start: f.Start - begun, End: f.End - begun})
		}
	}
	if err := write(*soakPicture, p); err != nil {
		s.t.Error(err)
	}
}

// since returns a series that starts with the first minute, without measurements after the last one.
func since(begun time.Duration, of *steady.Series) steady.Series {
	out := steady.Series{Figure: of.Figure, Of: of.Of}
	for _, p := range of.Points {
		p.At -= begun
		if p.At >= 0 && p.At <= time.Duration(*soakMinutes)*soakRule.Minute {
			out.Points = append(out.Points, p)
		}
	}
	return out
}

func write(path string, p steady.Picture) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(p.Draw(file), file.Close())
}

// judgeTrends reports the figures that grow.
func (s *soak) judgeTrends(begun time.Duration) {
	for _, one := range s.series {
		if one.Figure.Free {
			continue
		}
		trend, err := soakRule.Trend(since(begun, one))
		switch {
		case err != nil:
			s.t.Error(err)
		case trend.Grows():
			s.t.Errorf("%s of %s grows: %s", one.Figure.Name, one.Of, trend)
		default:
			s.say("%s of %s: %s", one.Figure.Name, one.Of, trend)
		}
	}
}

// rulesOfTime are the rules about time. Only the shorter runs check them, because they need a machine without other load.
var rulesOfTime = []string{"503 explained", "in time", "silence"}

// judgeHistory reports the violations of all rules except rulesOfTime.
func (s *soak) judgeHistory(ctx context.Context) {
	h, err := s.history(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	var summary history.Summary
	summary.Add(h)
	s.say("%s", &summary)
	violations, slow := s.violations, map[string]int{}
	for _, v := range history.Check(h) {
		if slices.Contains(rulesOfTime, v.Rule) {
			slow[v.Rule]++
			continue
		}
		violations = append(violations, v)
	}
	if len(slow) > 0 {
		s.say("not judged here, as the machine may be busy: %v", slow)
	}
	for i, v := range violations {
		if i < maxShown {
			s.t.Errorf("%s\n%s", v, h.Around(v))
		}
	}
	if len(violations) > 0 {
		s.t.Errorf("%d violations: %s", len(violations), history.ByRule(violations))
	}
}
