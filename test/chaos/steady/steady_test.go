package steady_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"user-service/test/chaos/steady"
)

var rule = steady.Rule{WarmUp: 3 * time.Minute, Minute: time.Minute, Calm: 20 * time.Second}

const (
	runTime   = 30 * time.Minute
	interval  = 5 * time.Second
	usually   = 40.0
	noise     = 3.0 // the amplitude
	faultTime = 30 * time.Second
	inFaults  = 200.0
)

// run returns a figure with the given values, noise, and a fault at the start of each minute.
func run(length time.Duration, value func(at time.Duration) float64) steady.Series {
	rng := rand.New(rand.NewPCG(1, 2))
	s := steady.Series{Figure: steady.Figure{Name: "goroutines", Slack: 5}, Of: "replica 1"}
	for at := time.Duration(0); at < length; at += interval {
		v := value(at) + noise*(2*rng.Float64()-1)
		if at%time.Minute < faultTime {
			v += inFaults * rng.Float64()
		}
		s.Points = append(s.Points, steady.Point{At: at, Value: v})
	}
	return s
}

func TestALeakIsFound(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]func(time.Duration) float64{
		"one goroutine with each fault": func(at time.Duration) float64 { return usually + at.Minutes() },
		"a little all the time":         func(at time.Duration) float64 { return usually + at.Seconds()/100 },
		"a fault that leaves 12 behind": func(at time.Duration) float64 {
			if at > 14*time.Minute {
				return usually + 12
			}
			return usually
		},
		"faster and faster": func(at time.Duration) float64 { return usually + at.Minutes()*at.Minutes()/30 },
	} {
		trend, err := rule.Trend(run(runTime, value))
		if err != nil || !trend.Grows() {
			t.Errorf("%s: %s, %v; want growth", name, trend, err)
		}
	}
}

func TestASteadyFigureIsNotALeak(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]func(time.Duration) float64{
		"the same":          func(time.Duration) float64 { return usually },
		"less":              func(at time.Duration) float64 { return usually - at.Minutes() },
		"nothing":           func(time.Duration) float64 { return 0 },
		"a pool that fills": func(at time.Duration) float64 { return usually * min(1, at.Minutes()/2) },
		"one odd minute": func(at time.Duration) float64 {
			if at/time.Minute == 25 {
				return usually + 100
			}
			return usually
		},
		"a heap that is swept": func(at time.Duration) float64 { return usually + float64(at%(7*time.Minute))/float64(7*time.Minute)*30 },
		"some restarts": func(at time.Duration) float64 {
			return usually + float64(at%(10*time.Minute))/float64(10*time.Minute)*8
		},
	} {
		trend, err := rule.Trend(run(runTime, value))
		if err != nil || trend.Grows() {
			t.Errorf("%s: %s, %v; want no growth", name, trend, err)
		}
	}
}

// TestGapsAreLeftOut removes the measurements of every second minute, as if the process did not run then. The growth must still be found.
func TestGapsAreLeftOut(t *testing.T) {
	t.Parallel()
	s := run(runTime, func(at time.Duration) float64 { return usually + at.Minutes() })
	var some []steady.Point
	for _, p := range s.Points {
		if p.At/time.Minute%2 == 0 {
			some = append(some, p)
		}
	}
	s.Points = some
	if trend, err := rule.Trend(s); err != nil || !trend.Grows() {
		t.Errorf("%s, %v; want growth", trend, err)
	}
}

func TestAShortRunDecidesNothing(t *testing.T) {
	t.Parallel()
	if trend, err := rule.Trend(run(8*time.Minute, func(time.Duration) float64 { return usually })); err == nil {
		t.Errorf("5 minutes after the warm-up are %s, want an error", trend)
	}
}
