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
// pairs of samples, and the interval in which the true median lies.
//
// The samples are taken in pairs, one of each kind right after the other, as a machine that has other
// work too is slow for seconds at a time: that cancels out in a pair, not in a mean over all. The
// interval is that of the sign test, which asks nothing of the noise but that it is as
// likely to fall on the one as on the other.
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
	if cut < 0 { // too few to say anything
		return ratio{0, ratios[n/2], math.Inf(1)}
	}
	return ratio{ratios[cut], ratios[n/2], ratios[n-1-cut]}
}

// outside returns how many of n sorted samples may be left out at either end so that the
// median lies between the others, but for the chance of a mistake: the quantile of a
// binomial distribution. It is -1 if n is too small.
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

// apart reports whether the two kinds surely differ by more than the tolerance: the whole interval lies beyond it.
func (r ratio) apart() bool { return r.low > 1+tolerance || r.high < 1/(1+tolerance) }

// equal reports whether they surely don't.
func (r ratio) equal() bool { return r.low > 1/(1+tolerance) && r.high < 1+tolerance }

// beyond reports whether they seem to, sure or not.
func (r ratio) beyond() bool { return r.estimate > 1+tolerance || r.estimate < 1/(1+tolerance) }

func (r ratio) String() string {
	return fmt.Sprintf("%+.1f %% (%+.1f to %+.1f)", 100*(r.estimate-1), 100*(r.low-1), 100*(r.high-1))
}

// comparison is every kind against every other.
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

// decided reports whether more samples would tell no more: a difference is found, or there surely is none.
func (c comparison) decided() bool {
	open := func(r ratio) bool { return !r.equal() }
	return len(c.ratios) > 0 && (slices.ContainsFunc(c.ratios, ratio.apart) || !slices.ContainsFunc(c.ratios, open))
}

// verdict returns what was found, or "" for no difference. Where the time was up before it was sure, the estimate
// decides: a difference that can be seen is not let pass since the machine is busy.
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

// TestTheStatisticFindsSmallDifferences in samples as noisy as those of a machine with other work: it drifts by
// half, and some samples take up to three times as long.
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
			t.Errorf("%d samples: %s", n, r)
		}
	}
}
