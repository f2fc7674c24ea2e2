package history

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// vicinity is the printed time before and after a violation.
const vicinity = 3 * time.Second

// Around returns the faults, requests and events around a violation, sorted by time.
func (h History) Around(v Violation) string {
	type line struct {
		at   time.Duration
		text string
	}
	var lines []line
	near := func(from, to time.Duration) bool { return from <= v.At+vicinity && to >= v.At-vicinity }
	for _, f := range h.Faults {
		if near(f.Start, f.End) {
			lines = append(lines, line{f.Start, "fault  " + f.String()})
		}
	}
	for _, o := range h.Ops {
		if near(o.Start, o.End) && (o.User == v.User || v.User == "" && o.Outcome == Perhaps) {
			lines = append(lines, line{o.Start, "       " + o.String()})
		}
	}
	for _, e := range h.Deliveries {
		if near(e.Time, e.Time) && e.Subject == v.User {
			lines = append(lines, line{e.Time, "       " + e.String()})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return int(a.at - b.at) })
	var b strings.Builder
	for _, l := range lines[max(0, len(lines)-maxLines):] {
		fmt.Fprintln(&b, l.text)
	}
	return b.String()
}

// maxLines is the number of printed lines of a history.
const maxLines = 60

// ByRule returns, for each rule, the number of violations and the times of the first and the last one.
func ByRule(violations []Violation) string {
	type span struct {
		count       int
		first, last time.Duration
	}
	spans := map[string]span{}
	for _, v := range violations {
		s, known := spans[v.Rule]
		if !known {
			s.first = v.At
		}
		spans[v.Rule] = span{s.count + 1, min(s.first, v.At), max(s.last, v.At)}
	}
	rules := named(spans)
	for i, rule := range rules {
		s := spans[rule]
		rules[i] = fmt.Sprintf("%s: %d, from %.1f to %.1f s", rule, s.count, s.first.Seconds(), s.last.Seconds())
	}
	return strings.Join(rules, "; ")
}

// Summary counts the operations, events and faults of runs.
type Summary struct {
	Faults     map[string]int
	Requests   int
	Accepted   int // changes that were accepted
	Perhaps    int // changes whose outcome is unknown
	Events     int
	Duplicates int
}

// Add adds a run to the counts.
func (s *Summary) Add(h History) {
	if s.Faults == nil {
		s.Faults = map[string]int{}
	}
	for _, f := range h.Faults {
		s.Faults[f.Kind]++
	}
	for _, o := range h.Ops {
		s.Requests++
		if o.Kind == Read {
			continue
		}
		switch o.Outcome {
		case Accepted:
			s.Accepted++
		case Perhaps:
			s.Perhaps++
		case Refused:
		}
	}
	seen := map[string]bool{}
	for _, e := range h.Deliveries {
		if seen[e.ID] {
			s.Duplicates++
		}
		seen[e.ID] = true
	}
	s.Events += len(seen)
}

func (s *Summary) String() string {
	kinds := named(s.Faults)
	for i, k := range kinds {
		kinds[i] = fmt.Sprintf("%s %d", k, s.Faults[k])
	}
	return fmt.Sprintf("%d requests, %d changes accepted, %d perhaps; %d events checked, %d duplicates; faults: %s",
		s.Requests, s.Accepted, s.Perhaps, s.Events, s.Duplicates, strings.Join(kinds, ", "))
}

// SlowestRecovery returns the longest time that a replica needed after a fault of the database to complete a request. Times in
// which another fault continues do not count.
func SlowestRecovery(h History) (slowest time.Duration) {
	for _, f := range h.Faults {
		first := map[int]time.Duration{}
		for _, o := range h.Ops {
			at, known := first[o.Replica]
			if f.Database && f.meets(o.Replica) && o.Outcome == Accepted && o.End >= f.End && (!known || o.End < at) {
				first[o.Replica] = o.End
			}
		}
		for replica, at := range first {
			if !slices.ContainsFunc(h.Faults, func(g Fault) bool {
				return (g.Database || g.Connections) && g.meets(replica) && g.Start <= at && g.End > f.End
			}) {
				slowest = max(slowest, at-f.End)
			}
		}
	}
	return slowest
}
