//go:build alerts

package observability_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"user-service/internal/testkit"
)

// watch records the alerts that fire in each situation.
type watch struct {
	*stage

	began  time.Time
	mu     sync.Mutex
	spells map[string]map[string]*spell // by situation and alert, such as UserServiceDown/critical
	active map[string]int               // alerts that fire or are pending
}

// spell is the time in which an alert fires.
type spell struct {
	fired, cleared time.Time
	firing         bool
}

func newWatch(t *testing.T) *watch {
	w := &watch{stage: &stage{t: t}, began: time.Now(), spells: map[string]map[string]*spell{}}
	for _, now := range situations {
		w.spells[now.name] = map[string]*spell{}
	}
	return w
}

// say prints the progress.
func (w *watch) say(format string, args ...any) {
	fmt.Fprintf(os.Stdout, "%5.0f s  %s\n", time.Since(w.began).Seconds(), fmt.Sprintf(format, args...))
}

// ready waits until all pods have been scraped, and no alert is pending or fires.
func (w *watch) ready(pods int) {
	w.t.Helper()
	w.stage.await("all pods", func() bool {
		return len(w.values(fmt.Sprintf(`count(up == 1) == %d unless on () ALERTS`, pods))) > 0
	})
}

// look records the alerts that fire, until ended is closed.
func (w *watch) look(ended chan struct{}) {
	for tick := time.NewTicker(500 * time.Millisecond); ; {
		select {
		case <-ended:
			tick.Stop()
			return
		case <-tick.C:
			w.note()
		}
	}
}

func (w *watch) note() {
	var data struct {
		Alerts []struct {
			State  string
			Labels map[string]string
		}
	}
	if err := w.ask("alerts", nil, &data); err != nil {
		w.t.Errorf("ask for the alerts: %v", err)
		return
	}
	firing, active := map[string]map[string]bool{}, map[string]int{}
	for _, a := range data.Alerts {
		active[a.Labels["namespace"]]++
		if a.State == "firing" {
			in := a.Labels["namespace"]
			if firing[in] == nil {
				firing[in] = map[string]bool{}
			}
			firing[in][strings.TrimSuffix(a.Labels["alertname"]+"/"+a.Labels["severity"]+"/"+a.Labels["window"], "/")] = true
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.active = active
	for in, spells := range w.spells {
		for name := range firing[in] {
			if spells[name] == nil {
				spells[name] = &spell{fired: time.Now()}
			}
		}
		for name, s := range spells {
			if is := firing[in][name]; is != s.firing {
				s.firing, s.cleared = is, time.Now()
				w.say("%s: %s %s", in, name, map[bool]string{true: "fires", false: "clears"}[is])
			}
		}
	}
}

// firing returns the alerts that fire now.
func (w *watch) firing(situation string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for name, s := range w.spells[situation] {
		if s.firing {
			out = append(out, name)
		}
	}
	return out
}

// clear reports whether no alert fires or is pending.
func (w *watch) clear(situation string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.active[situation] == 0
}

func (w *watch) haveFired(situation string, alerts []string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !slices.ContainsFunc(alerts, func(name string) bool { return w.spells[situation][name] == nil })
}

// await reports whether the condition holds within some time.
func (w *watch) await(within time.Duration, condition func() bool) bool {
	return testkit.Await(w.t.Context(), within, condition)
}

// report prints the alerts that fired and cleared, and fails for unexpected ones.
func (w *watch) report() {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nalert\tfault\tfired after\tcleared after\t")
	for _, now := range situations {
		spells := w.spells[now.name]
		for _, name := range slices.Sorted(maps.Keys(spells)) {
			s, note := spells[name], ""
			belongs := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
			switch {
			case slices.Contains(now.must, name):
			case slices.ContainsFunc(now.may, belongs):
				note = "allowed"
			default:
				note = "SHOULD NOT FIRE"
				w.t.Errorf("%s: %s should not fire", now.name, name)
			}
			fired, cleared := s.fired.Sub(now.struck).Seconds(), s.cleared.Sub(now.mended).Seconds()
			fmt.Fprintf(table, "%s\t%s\t%.0f s\t%.0f s\t%s\n", name, now.fault, fired, cleared, note)
		}
		if len(spells) == 0 {
			fmt.Fprintf(table, "none\t%s\t\t\tsilent for %.0f s\n", now.fault, time.Since(w.began).Seconds())
		}
	}
	_ = table.Flush()
}
