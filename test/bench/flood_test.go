package bench_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"user-service/pkg/postgres/postgrestest"
)

var (
	floodTime   = flag.Duration("floods", 10*time.Second, "duration of each flood, and of the control before it")
	reportOnly  = flag.Bool("floods.report", false, "report floods that harm other users, but pass")
	groupParent = flag.String("floods.cgroup", "",
		"`directory` of cgroup v2, or of the memory controller of v1: limit memory in a control group below it; needs root")
)

// flood sends requests that may harm other users.
type flood struct {
	// run sends the requests at a fixed rate, and returns after the last response.
	run func(during time.Duration) answers
	// done are the statuses of requests that no quota refused; nil: the flood has no complete requests.
	done []int
	// maxMiB is the limit for the memory of the serving process; 0: no limit.
	maxMiB float64
	// notes is called after the flood, and returns further results for the report. during is the length of the flood.
	notes func(during time.Duration) string
}

// site is a replica with default settings, and the users who are not part of the flood.
type site struct {
	*replica
	dsn    string
	group  *memoryGroup
	others *others
	client *http.Client // sends the requests of the flood
}

// newSite starts a replica that trusts X-Forwarded-For.
func newSite(b *testing.B, group *memoryGroup, settings ...string) *site {
	b.Helper()
	dsn := postgrestest.URL(b)
	s := startReplica(b, dsn, group, append([]string{"TRUSTED_PROXIES=127.0.0.1"}, settings...)...)
	return &site{
		replica: s, dsn: dsn, group: group, client: newClient(2048),
		others: &others{s, newClient(512), s.register(b, "other", otherUsers)},
	}
}

// send returns a flood of requests at a rate. make returns the request with number n.
func (s *site) send(rate float64, done []int, make func(n int) request) flood {
	run := func(during time.Duration) answers {
		return openLoop(rate, during, func(n int) int { return s.call(s.client, make(n)).status })
	}
	return flood{run: run, done: done}
}

// measure measures the other users first without the flood, as the control, and then during the flood.
func (s *site) measure(b *testing.B, f flood) {
	b.Helper()
	for b.Loop() {
		busy := loadAverage()
		quiet := s.others.use(*floodTime)
		before := s.servePeakMiB(b)
		var during usage
		var sent answers
		var all sync.WaitGroup
		all.Go(func() { during = s.others.use(*floodTime) })
		all.Go(func() { sent = f.run(*floodTime) })
		all.Wait()

		r := result{name: b.Name(), quiet: quiet, flooded: during, flood: sent, load: busy + " → " + loadAverage()}
		s.memory(b, &r, before)
		if f.notes != nil {
			r.notes = append(r.notes, f.notes(*floodTime))
		}
		report(b, r, f)
	}
}

// memory adds the memory of the replica to the result.
func (s *site) memory(b *testing.B, r *result, before float64) {
	b.Helper()
	r.quietMiB = before
	if s.group != nil {
		peak, killed := s.group.peakMiB(b)
		r.notes = append(r.notes, fmt.Sprintf("group at most %.0f of %d MiB, processes that the kernel ended: %d", peak, chartMiB, killed))
		if killed > 0 {
			fail(b, "the kernel ended %d processes at the memory limit", killed)
			return
		}
	}
	r.floodMiB = s.servePeakMiB(b)
}

// loadAverage returns the load average of the last minute.
func loadAverage() string {
	content, _ := os.ReadFile("/proc/loadavg")
	minute, _, _ := strings.Cut(string(content), " ")
	return minute
}
