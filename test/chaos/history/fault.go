package history

import (
	"fmt"
	"slices"
	"time"
)

// Everywhere is the Replica of a fault that affects all replicas.
const Everywhere = -1

// Fault is an injected failure of a replica, a server or the network between them.
type Fault struct {
	Kind        string
	Detail      string
	Replica     int // Everywhere, or the affected replica.
	Start, End  time.Duration
	Database    bool // Requests may get a 503.
	Connections bool // Connections of the replica's clients may break: the process is killed, ends or starts.
	Locks       bool // For LockTime the server may keep the locks of a vanished client.
	Cuts        int  // How many confirms, or removals of confirmed events, it may have lost.
	Refusals    int  // How often the broker may have refused an event that another queue received.
	Slow        bool // The machine gave the test no CPU time: responses may be late.
	Secrets     bool // A refresh token may get another form of its successor.
	Clock       bool // The database's clock was set: a refresh token may seem older than it is.
	Delays      bool // The broker does not read from its connections: an event may arrive after the publisher has given up.
	Drops       bool // The broker may return events: the consumer's queue was not bound for a moment.
}

func (f Fault) String() string {
	where := "everywhere"
	if f.Replica != Everywhere {
		where = fmt.Sprintf("replica %d", f.Replica)
	}
	return fmt.Sprintf("%7.3f to %7.3f s  %s, %s %s", f.Start.Seconds(), f.End.Seconds(), f.Kind, where, f.Detail)
}

// The durations that the service promises.
const (
	RequestTime  = 1800 * time.Millisecond // The longest time that the service works on a request.
	AnswerTime   = 2500 * time.Millisecond // The longest time to a response.
	RecoveryTime = 2 * time.Second         // After the end of a fault, every replica works again within this time.
	SilenceTime  = 5 * time.Second         // A replica has a success within this time while its database has no fault.
	LockTime     = 10 * time.Second        // Locks of a vanished client end within this time.
)

func (f Fault) meets(replica int) bool { return f.Replica == Everywhere || f.Replica == replica }

// explains reports whether the fault can be the reason for a 503.
func (ix index) explains(f Fault, o Op) bool {
	if f.Database && f.meets(o.Replica) && o.overlaps(f.Start, f.End+RecoveryTime) {
		return true
	}
	return f.Locks && o.overlaps(f.Start, f.End+LockTime+RecoveryTime) && ix.locked(f, o)
}

// locked reports whether another request may have left a lock that o needs. Such a request ran during the fault, and its outcome is unknown
// or it requested a reset. It used the same account as o, or both requests need the account of the administrator, as all requests by
// permission do.
func (ix index) locked(f Fault, o Op) bool {
	lockers := ix.users[o.User]
	if o.ByPermission {
		lockers = append(slices.Clone(lockers), ix.byPermission...)
	}
	return slices.ContainsFunc(lockers, func(p Op) bool {
		return p.ID != o.ID && (p.Outcome == Perhaps || p.Kind == RequestReset) && f.meets(p.Replica) &&
			p.Start <= f.End && p.runsUntil() >= f.Start
	})
}

// checkAnswers finds responses that no fault explains. It finds every 5xx that is not a 503 with Retry-After, every 503 that no fault
// explains, and every late response. A lost response is also a violation, unless the replica ended.
func checkAnswers(ix index) (all []Violation) {
	for _, o := range ix.Ops {
		switch {
		case o.Status >= 500 && (o.Status != 503 || !o.RetryAfter):
			all = append(all, breach("only 503", o, "a 5xx other than 503 with Retry-After"))
		case o.Status == 503 && !slices.ContainsFunc(ix.Faults, func(f Fault) bool { return ix.explains(f, o) }):
			all = append(all, breach("503 explained", o, "no fault explains this 503"))
		case o.Status == 0 && !o.HungUp && !slices.ContainsFunc(ix.Faults, func(f Fault) bool {
			return f.Connections && f.meets(o.Replica) && o.overlaps(f.Start, f.End)
		}):
			all = append(all, breach("answered", o, "no response, although the replica was neither killed nor stopped"))
		}
		if took := o.End - o.Start; took > AnswerTime && !slices.ContainsFunc(ix.Faults, func(f Fault) bool {
			return f.Slow && o.overlaps(f.Start, f.End)
		}) {
			all = append(all, breach("in time", o, "the response took %s", took.Round(time.Millisecond)))
		}
	}
	return all
}

// checkSilence finds a replica that has only failures for SilenceTime while neither the replica nor its database has a fault.
func checkSilence(ix index) (all []Violation) {
	last := map[int]time.Duration{} // the last success, or the end of a fault
	failures := map[int]int{}
	ops := slices.SortedFunc(slices.Values(ix.Ops), func(a, b Op) int { return int(a.End - b.End) })
	for _, o := range ops {
		if o.Status > 0 && o.Status < 500 || o.HungUp || ix.faulty(o) {
			last[o.Replica], failures[o.Replica] = o.End, 0
			continue
		}
		failures[o.Replica]++
		if quiet := o.End - last[o.Replica]; quiet > SilenceTime && failures[o.Replica] >= 3 {
			all = append(all, breach("silence", o, "replica %d had no success for %s", o.Replica, quiet.Round(time.Millisecond)))
			last[o.Replica], failures[o.Replica] = o.End, 0
		}
	}
	return all
}

// faulty reports whether a fault of the replica or its database overlaps the request.
func (ix index) faulty(o Op) bool {
	return slices.ContainsFunc(ix.Faults, func(f Fault) bool {
		return (f.Database || f.Connections) && f.meets(o.Replica) && o.overlaps(f.Start, f.End)
	})
}
