package chaos_test

import (
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"user-service/pkg/postgres/postgrestest"
)

func TestEveryChangeHasOneEvent(t *testing.T) {
	t.Parallel()
	s := newStage(t, 2, postgrestest.URL(t), sharedBroker(t))
	s.fill(*volume)
	if duplicates := s.checkEvents(); duplicates > 0 {
		t.Errorf("%d duplicates, though nothing died", duplicates)
	}
}

// fill takes n accounts through their lives, all of them in step: all are made, listed,
// changed, deleted.
func (s *stage) fill(n int) {
	s.t.Helper()
	made := make([]*account, n)
	s.each("registered", n, func(i int) (err error) {
		made[i], err = s.traffic.register(i)
		return err
	})
	s.checkList()
	s.say("listed")
	s.each("changed", n, func(i int) error { return s.traffic.change(i, made[i]) })
	s.checkList()
	s.each("deleted", n, func(i int) error { return s.traffic.remove(made[i]) })
	s.checkList()
	waitFor(s.t, "the outbox to be empty", func() bool { return s.waiting() == 0 })
}

// each does something with n accounts, many at a time, and tells how far it is.
func (s *stage) each(done string, n int, do func(int) error) {
	s.t.Helper()
	var all errgroup.Group
	var count atomic.Int64
	all.SetLimit(clients)
	for i := range n {
		all.Go(func() error {
			if err := do(i); err != nil {
				return err
			}
			if c := count.Add(1); c%1000 == 0 || c == int64(n) {
				s.say("%d of %d %s", c, n, done)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		s.t.Fatal(err)
	}
}
