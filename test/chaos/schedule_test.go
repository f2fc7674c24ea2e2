package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"user-service/test/chaos/history"
)

// lane is the target of a fault. Each lane has at most one fault at a time.
type lane string

const (
	replicas       lane = "replicas"
	toPostgreSQL   lane = "network to PostgreSQL"
	toRabbitMQ     lane = "network to RabbitMQ"
	postgreSQL     lane = "PostgreSQL"
	rabbitMQ       lane = "RabbitMQ"
	betweenPooler  lane = "PgBouncer"
	rotatedSecrets lane = "secrets"
)

// feature is a property of the servers of a run.
type feature string

const (
	plain   feature = "one PostgreSQL"
	pooled  feature = "PgBouncer before replica 1"
	standby feature = "a synchronous standby"
	single  feature = "one RabbitMQ"
	cluster feature = "a RabbitMQ of three nodes with quorum queues"
)

// topology is the kind of database and the kind of broker of a run.
type topology [2]feature

// topologyOf returns the topology of a seed. Six consecutive seeds have six different topologies.
func topologyOf(seed int64) topology {
	return topology{[...]feature{plain, pooled, standby}[seed%3], [...]feature{single, cluster}[seed/3%2]}
}

func (t topology) has(f feature) bool { return t[0] == f || t[1] == f }

func (t topology) String() string { return string(t[0] + ", " + t[1]) }

// step is a fault of a schedule.
type step struct {
	fault   fault
	at      time.Duration // since the start of its epoch
	lasts   time.Duration
	replica int // the affected replica, if the fault is local
	variant int // selects a variant of the fault
}

func (s step) String() string {
	return fmt.Sprintf("%s at %.1f s for %.1f s, replica %d, variant %d",
		s.fault.kind, s.at.Seconds(), s.lasts.Seconds(), s.replica, s.variant)
}

// epoch is one to four overlapping faults and the calm after them, in which everything must work.
type epoch struct {
	steps []step
	calm  time.Duration
}

// maxEpochs is larger than the number of epochs that fit into a run.
const maxEpochs = 40

// plan returns the schedule of a seed.
func plan(seed int64, topology topology) []epoch {
	rng := rand.New(rand.NewPCG(uint64(seed), 0))
	return planOf(&deck{rng: rng, all: faultsOf(topology), left: firstOf(seed, topology, rng)})
}

// planOf returns a schedule of faults.
func planOf(deck *deck) []epoch {
	rng := deck.rng
	epochs := make([]epoch, maxEpochs)
	for i := range epochs {
		epochs[i].calm = between(rng, 4*time.Second, 6*time.Second)
		for range 1 + rng.IntN(4) {
			f := deck.draw(epochs[i])
			epochs[i].steps = append(epochs[i].steps, step{
				fault: f, at: between(rng, 0, 1500*time.Millisecond), lasts: between(rng, f.least, f.most),
				replica: rng.IntN(replicaCount), variant: rng.IntN(1 << 16),
			})
		}
	}
	return epochs
}

// deck draws each fault once before it repeats a fault.
type deck struct {
	rng  *rand.Rand
	all  []fault
	left []fault
}

// faultsOf returns the faults of a topology that this machine allows.
func faultsOf(topology topology) (all []fault) {
	for _, f := range faults {
		if f.fits(topology) {
			all = append(all, f)
		}
	}
	return all
}

// firstOf returns the first faults of a seed: the faults of its topology, and a third of the others. So three consecutive seeds cover
// all faults that are not specific to a topology.
func firstOf(seed int64, topology topology, rng *rand.Rand) (first []fault) {
	var others []fault
	for _, f := range faultsOf(topology) {
		if f.only == "" {
			others = append(others, f)
		} else {
			first = append(first, f)
		}
	}
	group := rand.New(rand.NewPCG(uint64(seed+2)/3, 1))
	group.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	for i, f := range others {
		if int64(i%3) == (seed+2)%3 {
			first = append(first, f)
		}
	}
	rng.Shuffle(len(first), func(i, j int) { first[i], first[j] = first[j], first[i] })
	return first
}

// draw returns the next fault whose lane is free in an epoch.
func (d *deck) draw(e epoch) fault {
	isFree := func(f fault) bool {
		return !slices.ContainsFunc(e.steps, func(s step) bool { return s.fault.lane == f.lane })
	}
	if !slices.ContainsFunc(d.left, isFree) {
		more := slices.Clone(d.all)
		d.rng.Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
		d.left = append(d.left, more...)
	}
	i := slices.IndexFunc(d.left, isFree)
	f := d.left[i]
	d.left = slices.Delete(d.left, i, i+1)
	return f
}

func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(rng.Int64N(int64(most-least)+1))
}

// describe lists the first epochs of a schedule.
func describe(epochs []epoch) string {
	var b strings.Builder
	for i, e := range epochs {
		fmt.Fprintf(&b, "epoch %d, %.1f s of calm after it\n", i, e.calm.Seconds())
		for _, s := range e.steps {
			fmt.Fprintf(&b, "    %s\n", s)
		}
	}
	return b.String()
}

func TestASeedDeterminesItsSchedule(t *testing.T) {
	t.Parallel()
	for seed := range int64(6) {
		topology := topologyOf(seed)
		first := describe(plan(seed, topology))
		if again := describe(plan(seed, topology)); again != first {
			t.Errorf("seed %d has two different schedules, want the same one twice:\n%s\n%s", seed, first, again)
		}
		if next := describe(plan(seed+6, topology)); next == first {
			t.Errorf("seeds %d and %d have the same schedule:\n%s", seed, seed+6, first)
		}
	}
}

func TestAFaultThatIsNotInjectedIsNotRecorded(t *testing.T) {
	t.Parallel()
	absent := errors.New("the machine has no such disk")
	if f := (fault{only: plain, possible: func() error { return absent }}); f.fits(topology{plain, single}) {
		t.Error("a schedule has a fault that the machine does not allow")
	}
	for err, want := range map[error]int{nil: 1, errNotInjected: 0} {
		r := &rig{t: t, began: time.Now()}
		inject := func(context.Context, *rig, step, *history.Fault) error { return err }
		r.inject(t.Context(), step{fault: fault{kind: "a fault of this test", inject: inject}})
		if len(r.faults) != want {
			t.Errorf("%d faults are recorded after the error %v, want %d", len(r.faults), err, want)
		}
	}
}

func TestThreeSeedsBeginWithAllFaults(t *testing.T) {
	t.Parallel()
	dealt := map[string]bool{}
	for seed := int64(4); seed <= 6; seed++ {
		begin := firstOf(seed, topologyOf(seed), rand.New(rand.NewPCG(0, 0)))
		if len(begin) > len(faults)/2 {
			t.Errorf("seed %d begins with %d faults", seed, len(begin))
		}
		for _, f := range begin {
			dealt[f.kind] = true
		}
	}
	for _, f := range faults {
		if f.only == "" && f.isPossible() == nil && !dealt[f.kind] {
			t.Errorf("no seed begins with %s", f.kind)
		}
	}
}

func TestTheFaultsOfAnEpochDoNotShareALane(t *testing.T) {
	t.Parallel()
	dealt := map[string]int{}
	for seed := range int64(10) {
		for _, e := range plan(seed, topologyOf(seed)) {
			lanes := map[lane]bool{}
			for _, s := range e.steps {
				dealt[s.fault.kind]++
				if lanes[s.fault.lane] {
					t.Errorf("an epoch has two faults of %s: %v", s.fault.lane, e.steps)
				}
				lanes[s.fault.lane] = true
			}
		}
	}
	for _, f := range faults {
		if impossible := f.isPossible() != nil; impossible != (dealt[f.kind] == 0) {
			t.Errorf("%s is scheduled %d times; impossible on this machine: %t", f.kind, dealt[f.kind], impossible)
		}
	}
}
