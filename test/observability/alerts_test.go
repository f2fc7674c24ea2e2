//go:build alerts

package observability_test

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"user-service/internal/testkit"
)

// hurry is the factor by which the durations of the rules are shortened, so that a minute becomes a second. The durations are the
// windows, and the time before an alert fires. Thresholds do not change.
const hurry = 60

const (
	settle      = 20 * time.Second // before the faults
	firesWithin = 6 * time.Minute
	clearWithin = 8 * time.Minute // the longest window that must be clean is 6 hours
)

// TestAlertsFireAndClearUnderFaults is run by make alerts. Each situation is a release with its own pods, database and rules. One
// Prometheus scrapes all releases. The fault of a situation lasts until the expected alerts have fired. After the end of the fault, no
// alert may fire. The test fails if an alert fires that the situation does not expect.
func TestAlertsFireAndClearUnderFaults(t *testing.T) {
	w := newWatch(t)
	bind := newQueue(t)
	var rules []string
	var all []*stage
	for _, now := range situations {
		now.bind = bind
		rules = append(rules, hurriedRules(t, now.name, now.set...))
		now.start(t)
		for _, pod := range now.pods {
			pod.behindEndpoints()
		}
		all = append(all, now.pods...)
	}
	w.prometheus = scrape(t, "2s", rules, all...)
	w.ready(len(all))
	w.say("%d situations, %d pods", len(situations), len(all))
	ended := make(chan struct{})
	var watching, playing sync.WaitGroup
	watching.Go(func() { w.look(ended) })
	for _, now := range situations {
		if now.strike != nil {
			playing.Go(func() { now.play(w) })
		}
	}
	for _, now := range situations {
		if now.strike == nil {
			stop := now.use()
			defer stop() // read until the test ends
		}
	}
	playing.Wait()
	close(ended)
	watching.Wait()
	w.report()
}

var duration = regexp.MustCompile(`(for: |\[|:|offset )(\d+)([mhd])\b`)

// hurriedRules returns the file of the chart's rules with shortened durations.
func hurriedRules(t *testing.T, namespace string, set ...string) string {
	t.Helper()
	// To count requests, the rules multiply a rate by the seconds of the original window. So in a shortened window, the counts are too
	// high by the factor hurry.
	set = append(set, fmt.Sprintf("prometheusRule.thresholds.minBadRequests=%d", 10*hurry),
		"prometheusRule.thresholds.crashLoopRestarts=2") // starts at least 5 s apart, in a window of 15 s
	object := renderIn(t, namespace, "prometheusrule.yaml", set...)
	file, _ := writeRules(t, duration.ReplaceAllStringFunc(object, func(found string) string {
		part := duration.FindStringSubmatch(found)
		n, _ := strconv.Atoi(part[2])
		seconds := map[string]int{"m": 60, "h": 3600, "d": 86400}[part[3]]
		return fmt.Sprintf("%s%ds", part[1], n*seconds/hurry)
	}))
	return file
}

// play starts the fault, waits until its alerts fire, ends the fault, and waits until no alert fires.
func (now *situation) play(w *watch) {
	stop := now.use()
	defer stop()
	testkit.Pause(context.Background(), settle)
	if found := w.firing(now.name); len(found) > 0 {
		w.t.Errorf("%s: %v fires before the fault", now.name, found)
	}
	now.struck = time.Now()
	w.say("%s: %s", now.name, now.fault)
	mend := now.strike(now)
	if !w.await(firesWithin, func() bool { return w.haveFired(now.name, now.must) }) {
		w.t.Errorf("%s: not all of %v have fired; %v fires now", now.name, now.must, w.firing(now.name))
	}
	now.mended = time.Now()
	w.say("%s: fixed", now.name)
	mend()
	if !w.await(clearWithin, func() bool { return w.clear(now.name) }) {
		w.t.Errorf("%s: %v fires although the fault has ended", now.name, w.firing(now.name))
	}
	w.say("%s: all clear", now.name)
}
