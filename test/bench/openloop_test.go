package bench_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"user-service/internal/testkit"
)

// openLoop sends requests at a rate, in requests a second, without waiting for responses. So a slow server gets as many requests as a fast
// server. openLoop returns after the last response. It measures each time from the moment at which the request was due, so that a delayed
// request does not seem fast.
func openLoop(rate float64, during time.Duration, send func(n int) (status int)) answers {
	all := make(answers, int(math.Round(rate*during.Seconds())))
	began := time.Now()
	var sent sync.WaitGroup
	for n := range all {
		due := began.Add(time.Duration(float64(n) / rate * float64(time.Second)))
		testkit.Pause(context.Background(), time.Until(due))
		sent.Go(func() {
			status := send(n)
			all[n] = answer{status, time.Since(due)}
		})
	}
	sent.Wait()
	return all
}

// answer is the status of a response, 0 for none, and its time.
type answer struct {
	status int
	took   time.Duration
}

type answers []answer

// times returns the sorted times of the responses with one of the statuses.
func (a answers) times(statuses ...int) times {
	var took times
	for _, one := range a {
		if slices.Contains(statuses, one.status) {
			took = append(took, one.took)
		}
	}
	slices.Sort(took)
	return took
}

// String returns the number of responses with each status.
func (a answers) String() string {
	counts := make(map[int]int)
	for _, one := range a {
		counts[one.status]++
	}
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(counts)) {
		name := "no answer"
		if status != 0 {
			name = fmt.Sprint(status)
		}
		parts = append(parts, fmt.Sprintf("%d × %s", counts[status], name))
	}
	return strings.Join(parts, ", ")
}

// times is a sorted list.
type times []time.Duration

// at returns a quantile. If the list is empty, it returns answerTime.
func (t times) at(quantile float64) time.Duration {
	if len(t) == 0 {
		return answerTime
	}
	return t[int(float64(len(t)-1)*quantile)]
}

func (t times) String() string {
	return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms of %d", milliseconds(t.at(0.5)), milliseconds(t.at(0.99)), len(t))
}

// until returns how many times in the list are at most most.
func (t times) until(most time.Duration) int {
	n, _ := slices.BinarySearch(t, most+1)
	return n
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
