package bench_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The requirements of the contract for other users during a flood.
const (
	servedAtLeast  = 0.9                   // Share of logins that take at most slowerAtMost times the median without the flood.
	slowerAtMost   = 2.0                   // Relative to the time without the flood.
	readsMayTake   = 10 * time.Millisecond // Allowed even beyond slowerAtMost.
	serveMiBAtMost = 150.0                 // With bodies of 5,000 connections.
)

// result compares the other users during a flood with the control.
type result struct {
	name               string
	quiet, flooded     usage
	flood              answers
	quietMiB, floodMiB float64 // peak of the serving process
	load               string
	notes              []string
}

// inTime returns the share of logins that succeeded within slowerAtMost times the median of the control.
func (r result) inTime(u usage) float64 {
	most := time.Duration(slowerAtMost * float64(r.quiet.logins.times(http.StatusOK).at(0.5)))
	return float64(u.logins.times(http.StatusOK).until(most)) / float64(len(u.logins))
}

func served(a answers) float64 { return float64(len(a.times(http.StatusOK))) / float64(len(a)) }

func ratio(flooded, quiet answers) float64 {
	return float64(flooded.times(http.StatusOK).at(0.5)) / float64(quiet.times(http.StatusOK).at(0.5))
}

// report prints the result, and fails if other users suffered more than the contract allows.
func report(b *testing.B, r result, f flood) {
	b.Helper()
	results = append(results, r)
	b.ReportMetric(100*served(r.flooded.logins), "logins-served-%")
	b.ReportMetric(ratio(r.flooded.logins, r.quiet.logins), "logins-p50-ratio")
	b.ReportMetric(ratio(r.flooded.reads, r.quiet.reads), "reads-p50-ratio")
	b.ReportMetric(r.floodMiB, "serve-MiB")

	if f.done != nil {
		checkFlood(b, r.flood, f.done)
	}
	if f.maxMiB > 0 && r.floodMiB > f.maxMiB {
		fail(b, "the process that serves took %.0f MiB", r.floodMiB)
	}
	if part := served(r.quiet.logins); part < servedAtLeast {
		b.Errorf("%.0f %% of logins were served before the flood: the machine is too busy to measure the effect of the flood", 100*part)
		return
	}
	checkLogins(b, r)
	checkReads(b, r)
}

func checkLogins(b *testing.B, r result) {
	b.Helper()
	part, in, slower := served(r.flooded.logins), r.inTime(r.flooded), ratio(r.flooded.logins, r.quiet.logins)
	late := in < servedAtLeast && r.inTime(r.quiet) >= servedAtLeast // on a busy machine the control has late logins too
	if part < servedAtLeast || slower > slowerAtMost || late {
		fail(b, "of other users' logins %.0f %% were served, %.0f %% in time; their median is %.1f times the control's",
			100*part, 100*in, slower)
	}
}

func checkReads(b *testing.B, r result) {
	b.Helper()
	slower, median := ratio(r.flooded.reads, r.quiet.reads), r.flooded.reads.times(http.StatusOK).at(0.5)
	if slower > slowerAtMost && median > readsMayTake {
		fail(b, "the median of other users' reads is %.1f ms, %.1f times the control's", milliseconds(median), slower)
	}
	if part := served(r.flooded.reads); part < servedAtLeast {
		fail(b, "%.0f %% of other users' reads were served", 100*part)
	}
}

// checkFlood fails if the flood did not work. Each request must get a status in done, 429, 503 or no response, and at least one must get a
// status in done.
func checkFlood(b *testing.B, sent answers, done []int) {
	b.Helper()
	refused := []int{0, http.StatusTooManyRequests, http.StatusServiceUnavailable}
	if len(sent.times(done...)) == 0 || len(sent.times(append(refused, done...)...)) < len(sent) {
		b.Errorf("the responses to the flood are %s, want %v, 429 or 503", sent, done)
	}
}

// fail reports a broken requirement. With -floods.report it only logs the requirement.
func fail(b *testing.B, format string, args ...any) {
	b.Helper()
	if *reportOnly {
		b.Logf(format, args...)
		return
	}
	b.Errorf(format, args...)
}

var results []result

// floodTable returns the table of all results.
func floodTable() string {
	if len(results) == 0 {
		return ""
	}
	var table strings.Builder
	table.WriteString("\nControl → flood; times: p50/p99 in ms of served requests; in time: served within twice the control's p50.\n\n" +
		"| flood | logins served | in time | logins | p50 ratio | reads served | reads | p50 ratio " +
		"| serve MiB | load | answers to the flood | notes |\n" +
		"| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range results {
		q, f := r.quiet, r.flooded
		cells := []string{
			strings.TrimPrefix(r.name, "BenchmarkFloodOf"),
			percents(served(q.logins), served(f.logins)), percents(r.inTime(q), r.inTime(f)),
			spread(q.logins, f.logins), fmt.Sprintf("%.1f", ratio(f.logins, q.logins)),
			percents(served(q.reads), served(f.reads)),
			spread(q.reads, f.reads), fmt.Sprintf("%.1f", ratio(f.reads, q.reads)),
			fmt.Sprintf("%.0f → %.0f", r.quietMiB, r.floodMiB), r.load, r.flood.String(), strings.Join(r.notes, "; "),
		}
		table.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return table.String()
}

func percents(control, flooded float64) string {
	return fmt.Sprintf("%.0f → %.0f %%", 100*control, 100*flooded)
}

func spread(control, flooded answers) string {
	texts := make([]string, 0, 2)
	for _, t := range []times{control.times(http.StatusOK), flooded.times(http.StatusOK)} {
		text := "none"
		if len(t) > 0 {
			text = fmt.Sprintf("%.1f/%.1f", milliseconds(t.at(0.5)), milliseconds(t.at(0.99)))
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " → ")
}
