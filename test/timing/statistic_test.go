package timing_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const (
	tolerance = 0.05  // how far the times of two kinds of requests may lie apart
	mistake   = 0.001 // how often an interval may miss the true ratio
)

// ratio is by how much one kind of request takes longer than another: the median over all
// rounds, and the interval in which the true median lies.
//
// The samples are taken in pairs, one of each kind in each round, as a machine that has other
// work too is slow for seconds at a time: that cancels out in a round, not in a mean over all. The
// interval is that of the sign test, which asks nothing of the noise but that it is as
// likely to fall on the one as on the other.
type ratio struct{ low, median, high float64 }

// compare returns the ratio of the paired samples a to b.
func compare(a, b []float64) ratio {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	slices.Sort(ratios)
	n := len(ratios)
	cut := outside(n)
	if cut < 0 { // too few to say anything
		return ratio{0, ratios[n/2], math.Inf(1)}
	}
	return ratio{ratios[cut], ratios[n/2], ratios[n-1-cut]}
}

// outside returns how many of n sorted samples may be left out at either end so that the
// median lies between the others, but for the chance of a mistake: the quantile of a
// binomial distribution. It is -1 if n is too small.
func outside(n int) int {
	cut, sum := -1, 0.0
	for k, p := 0, math.Pow(0.5, float64(n)); ; k++ {
		if sum += p; sum > mistake/2 {
			return cut
		}
		cut = k
		p *= float64(n-k) / float64(k+1)
	}
}

// apart reports whether the two kinds surely differ by more than the tolerance: the whole interval
// lies beyond it. An interval that only reaches beyond it is what a noisy machine gives for
// equal times as well; to fail on that would be to fail by chance. So a difference of 5 % is found
// where the interval becomes narrow, for which a busy machine needs a larger -limit; one as
// large as a hash is found anywhere. The log says which it was.
func (r ratio) apart() bool { return r.low > 1+tolerance || r.high < 1/(1+tolerance) }

// narrow reports whether the interval would show a difference little larger than the tolerance.
func (r ratio) narrow() bool { return r.high-r.low < tolerance/2 }

func (r ratio) String() string {
	return fmt.Sprintf("%+.1f %% (%+.1f to %+.1f)", 100*(r.median-1), 100*(r.low-1), 100*(r.high-1))
}

// TestTheStatisticFindsSmallDifferences in samples as noisy as those of a machine with other
// work: it drifts by half, and one sample in ten takes up to three times as long.
func TestTheStatisticFindsSmallDifferences(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		longer float64
		apart  bool
	}{{1, false}, {1.03, false}, {1.08, true}, {1 / 1.08, true}, {2, true}} {
		random := rand.New(rand.NewPCG(1, 2))
		var a, b []float64
		for round := range 400 {
			drift := 1 + 0.5*math.Sin(float64(round)/50)
			a = append(a, c.longer*drift*noise(random))
			b = append(b, drift*noise(random))
		}
		if r := compare(a, b); r.apart() != c.apart {
			t.Errorf("%.2f times as long: %s, apart %t", c.longer, r, r.apart())
		}
	}
}

func noise(random *rand.Rand) float64 {
	if random.Float64() < 0.1 {
		return 1 + 2*random.Float64()
	}
	return 1 + 0.03*random.NormFloat64()
}

// comparison is every kind against every other.
type comparison struct {
	ratios        []ratio
	lines         []string
	apart, narrow bool
}

func compareAll(names []string, samples map[string][]float64) comparison {
	all := comparison{narrow: true}
	for i, a := range names {
		for _, b := range names[:i] {
			r := compare(samples[a], samples[b])
			all.ratios = append(all.ratios, r)
			all.lines = append(all.lines, fmt.Sprintf("%s against %s: %s", a, b, r))
			all.apart = all.apart || r.apart()
			all.narrow = all.narrow && r.narrow()
		}
	}
	return all
}

func (c comparison) String() string { return strings.Join(c.lines, "\n") }
