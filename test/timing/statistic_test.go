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
	tolerance = 0.05  // the allowed difference between the times of two kinds of requests
	mistake   = 0.001 // the probability that an interval misses the true ratio
)

// ratio is the factor by which one kind of request is slower than another. It has the median over all pairs of samples, and the
// confidence interval of the true median.
//
// The samples of a pair follow each other directly. A machine with other work is slow for seconds, which affects both samples of
// a pair. The interval is the interval of the sign test. It requires only that noise is equally likely in both samples.
type ratio struct{ low, estimate, high float64 }

// compare returns the ratio of the paired samples a to b.
func compare(a, b []float64) ratio {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	slices.Sort(ratios)
	n := len(ratios)
	cut := outside(n)
	if cut < 0 { // there are too few samples for an interval
		return ratio{0, ratios[n/2], math.Inf(1)}
	}
	return ratio{ratios[cut], ratios[n/2], ratios[n-1-cut]}
}

// outside returns how many of n sorted samples may be omitted at either end so that the true median still lies between the others. The
// probability that it does not is at most mistake, so the result is a quantile of the binomial distribution. outside returns -1 if n is
// too small.
func outside(n int) int {
	cut, sum, logP := -1, 0.0, float64(n)*math.Log(0.5)
	for k := 0; ; k++ {
		if sum += math.Exp(logP); sum > mistake/2 {
			return cut
		}
		cut = k
		logP += math.Log(float64(n-k) / float64(k+1))
	}
}

// apart reports whether the two kinds surely differ by more than the tolerance: the whole interval lies beyond the tolerance.
func (r ratio) apart() bool { return r.low > 1+tolerance || r.high < 1/(1+tolerance) }

// equal reports whether the whole interval lies within the tolerance.
func (r ratio) equal() bool { return r.low > 1/(1+tolerance) && r.high < 1+tolerance }

// beyond reports whether the estimate lies beyond the tolerance.
func (r ratio) beyond() bool { return r.estimate > 1+tolerance || r.estimate < 1/(1+tolerance) }

func (r ratio) String() string {
	return fmt.Sprintf("%+.1f %% (%+.1f to %+.1f)", 100*(r.estimate-1), 100*(r.low-1), 100*(r.high-1))
}

// comparison compares every kind with every other kind.
type comparison struct {
	ratios []ratio
	lines  []string
}

func compareAll(names []string, samples map[string][]float64) comparison {
	var all comparison
	for i, a := range names {
		for _, b := range names[:i] {
			r := compare(samples[a], samples[b])
			all.ratios = append(all.ratios, r)
			all.lines = append(all.lines, fmt.Sprintf("%s against %s: %s", a, b, r))
		}
	}
	return all
}

// and adds the comparisons of other samples.
func (c comparison) and(other comparison) comparison {
	return comparison{append(c.ratios, other.ratios...), append(c.lines, other.lines...)}
}

// decided reports whether more samples are unnecessary: there is a difference, or there surely is none.
func (c comparison) decided() bool {
	open := func(r ratio) bool { return !r.equal() }
	return len(c.ratios) > 0 && (slices.ContainsFunc(c.ratios, ratio.apart) || !slices.ContainsFunc(c.ratios, open))
}

// verdict describes the differences, or returns "" for none. If the time was up before the result was sure, the estimate decides.
// So a busy machine does not hide a visible difference.
func (c comparison) verdict() string {
	switch {
	case slices.ContainsFunc(c.ratios, ratio.apart):
		return "the times differ"
	case !c.decided() && slices.ContainsFunc(c.ratios, ratio.beyond):
		return "the times seem to differ, but this machine is too noisy to be sure in the time given; try a longer -limit"
	default:
		return ""
	}
}

func (c comparison) String() string { return strings.Join(c.lines, "\n") }

// TestTheStatisticFindsSmallDifferences uses samples as noisy as measurements on a busy machine. The samples drift by half, and some are
// up to three times as long.
func TestTheStatisticFindsSmallDifferences(t *testing.T) {
	t.Parallel()
	for _, slow := range []float64{0.1, 0.3} {
		for _, c := range []struct {
			longer       float64
			equal, apart bool
		}{{1, true, false}, {1.02, true, false}, {1.05, false, false}, {1.08, false, true}, {1 / 1.08, false, true}, {2, false, true}} {
			random := rand.New(rand.NewPCG(1, 2))
			var a, b []float64
			for round := range 2000 {
				drift := 1 + 0.5*max(0, math.Sin(float64(round)/50))
				a = append(a, c.longer*drift*noise(random, slow))
				b = append(b, drift*noise(random, slow))
			}
			if r := compare(a, b); r.apart() != c.apart || r.equal() != c.equal {
				t.Errorf("%.2f times as long, %.0f %% slow: %s, equal %t, apart %t", c.longer, 100*slow, r, r.equal(), r.apart())
			}
		}
	}
}

func noise(random *rand.Rand, slow float64) float64 {
	if random.Float64() < slow {
		return 1 + 2*random.Float64()
	}
	return 1 + 0.03*random.NormFloat64()
}

func TestTooFewSamplesDecideNothing(t *testing.T) {
	t.Parallel()
	for n := 1; n < 11; n++ {
		if r := compare(slices.Repeat([]float64{2}, n), slices.Repeat([]float64{1}, n)); r.apart() || r.equal() || !r.beyond() {
			t.Errorf("%d samples have the ratio %s, want no decision", n, r)
		}
	}
}
