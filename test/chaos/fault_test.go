package chaos_test

import (
	"context"
	"errors"
	"slices"
	"time"

	"user-service/internal/testkit"
	"user-service/test/chaos/history"
)

// fault is an entry of the list from which schedules are made.
type fault struct {
	kind        string
	lane        lane
	only        feature      // the topologies that have this fault; empty: all
	possible    func() error // whether the machine allows the fault; nil: each machine does
	least, most time.Duration
	local       bool          // affects one replica
	means       history.Fault // the effects that the fault explains
	// inject causes the fault and ends it. It may set the details and a later start. Errors: errNotInjected.
	inject func(ctx context.Context, r *rig, s step, f *history.Fault) error
}

// faults are all faults.
var faults = slices.Concat(replicaFaults, limitFaults, networkFaults, postgresFaults, rabbitFaults,
	clusterFaults, poolerFaults, standbyFaults, secretFaults)

// errNotInjected is the error of a fault that had nothing to affect. Such a fault is not recorded, so it explains nothing.
var errNotInjected = errors.New("not injected")

// isPossible returns nil if this machine allows the fault.
func (f fault) isPossible() error {
	if f.possible == nil {
		return nil
	}
	return f.possible()
}

// fits reports whether a schedule of a topology may have the fault on this machine.
func (f fault) fits(topology topology) bool {
	return (f.only == "" || topology.has(f.only)) && f.isPossible() == nil
}

// sayImpossible logs the faults of a topology that this machine does not allow. No schedule has them.
func (r *rig) sayImpossible(topology topology) {
	for _, f := range faults {
		if err := f.isPossible(); err != nil && (f.only == "" || topology.has(f.only)) {
			r.say("no schedule has the fault %q on this machine: %v", f.kind, err)
		}
	}
}

// run injects the faults of an epoch. It waits until they have ended, and then for the calm.
func (r *rig) run(ctx context.Context, e epoch) {
	done := make(chan struct{})
	for _, s := range e.steps {
		go func() {
			defer func() { done <- struct{}{} }()
			if testkit.Pause(ctx, s.at) {
				r.inject(ctx, s)
			}
		}()
	}
	for range e.steps {
		<-done
	}
	testkit.Pause(ctx, e.calm)
}

// inject runs a fault and records its start and end. The fault ends when each affected replica can open a new connection and write.
func (r *rig) inject(ctx context.Context, s step) {
	f := s.fault.means
	f.Kind, f.Replica = s.fault.kind, history.Everywhere
	if s.fault.local {
		f.Replica = s.replica
	}
	note := r.begin(f)
	f.Start = note.start
	err := s.fault.inject(ctx, r, s, &f)
	if errors.Is(err, errNotInjected) {
		r.forget(note)
		r.say("%s: %v", f.Kind, err)
		return
	}
	if err == nil && f.Database {
		err = r.awaitDatabase(ctx, f.Replica)
	}
	f.End = r.now()
	r.end(note, f)
	if err != nil {
		r.t.Errorf("seed %d: %s at %.1f s: %v", r.seed, s.fault.kind, f.Start.Seconds(), err)
		return
	}
	r.t.Logf("seed %d  %s", r.seed, f)
}

// noted is a running fault in the log.
type noted struct {
	fault *history.Fault
	start time.Duration
}

// begin records the start of a fault.
func (r *rig) begin(f history.Fault) noted {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.Start, f.End = r.now(), time.Hour
	r.faults = append(r.faults, &f)
	return noted{&f, f.Start}
}

// forget removes a fault from the log.
func (r *rig) forget(n noted) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = slices.DeleteFunc(r.faults, func(f *history.Fault) bool { return f == n.fault })
}

// end records the end of a fault.
func (r *rig) end(n noted, f history.Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*n.fault = f
}
