// Package steady decides whether the figures of a long run grow, and draws them.
package steady

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Figure is a quantity that is measured repeatedly, such as the memory of a process.
type Figure struct {
	Name string // with its unit
	// Slack is an absolute growth that does not count.
	Slack float64
	// Free figures may grow and are only drawn.
	Free bool
}

// Series holds the measurements of one process or server, sorted by time.
type Series struct {
	Figure Figure
	Of     string // the process or server
	Points []Point
}

// Point is one measurement.
type Point struct {
	At    time.Duration // since the start of the run
	Value float64
}

// Rule selects the measurements that count.
type Rule struct {
	WarmUp time.Duration // in which caches and pools fill
	Minute time.Duration // each starts with a fault
	Calm   time.Duration // the end of each minute, after the fault
}

const (
	share    = 0.1 // Growth below this share of the first value does not count.
	spreads  = 3   // Growth below this multiple of the spread does not count.
	minCount = 6   // The lowest number of minutes for a decision.
)

// Trend is the median of a figure in the first and in the last third of the minutes, and the allowed growth.
type Trend struct {
	First, Last float64
	Allowed     float64
}

// Grows reports whether the figure grew by more than is allowed.
func (t Trend) Grows() bool { return t.Last-t.First > t.Allowed }

func (t Trend) String() string {
	return fmt.Sprintf("%.1f at first, %.1f at last; a growth of %.1f is allowed", t.First, t.Last, t.Allowed)
}

// Trend compares the first third of the minutes after the warm-up with the last third. The value of a minute is the median of its
// calm end, and the value of a third is the median of its minutes. So neither a fault nor one odd minute decides. Errors: too few
// minutes have measurements.
func (r Rule) Trend(s Series) (Trend, error) {
	values := r.minutes(s.Points)
	if len(values) < minCount {
		return Trend{}, fmt.Errorf("%s of %s: %d minutes have measurements, %d are needed", s.Figure.Name, s.Of, len(values), minCount)
	}
	third := len(values) / 3
	first, last := values[:third], values[len(values)-third:]
	t := Trend{First: median(first), Last: median(last)}
	t.Allowed = max(s.Figure.Slack, share*t.First, spreads*max(spread(first), spread(last)))
	return t, nil
}

// minutes returns the median of the calm end of each minute that has one.
func (r Rule) minutes(points []Point) (values []float64) {
	var calm []float64
	end := func() {
		if len(calm) > 0 {
			values = append(values, median(calm))
		}
		calm = nil
	}
	minute := time.Duration(0)
	for _, p := range points {
		if p.At < r.WarmUp {
			continue
		}
		if now := p.At / r.Minute; now != minute {
			end()
			minute = now
		}
		if p.At%r.Minute >= r.Minute-r.Calm {
			calm = append(calm, p.Value)
		}
	}
	end()
	return values
}

// spread returns the median distance from the median.
func spread(values []float64) float64 {
	middle := median(values)
	distances := make([]float64, len(values))
	for i, v := range values {
		distances[i] = max(v-middle, middle-v)
	}
	return median(distances)
}

// median returns the median of at least one value.
func median(values []float64) float64 {
	sorted := slices.SortedFunc(slices.Values(values), cmp.Compare[float64])
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
