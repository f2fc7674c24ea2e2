package history

import (
	"fmt"
	"slices"
	"time"
)

// Everywhere is the Replica of a fault that all replicas meet.
const Everywhere = -1

// Fault is something that was done to a replica, to a server or to a network between them.
type Fault struct {
	Kind        string
	Detail      string
	Replica     int // Everywhere, or the one that meets it
	Start, End  time.Duration
	Database    bool // requests may get a 503
	Connections bool // the connections of the replica's clients may break: it is killed, ends or starts
	Locks       bool // the server may not notice for LockTime that the owner of a lock is gone
	Cuts        int  // how often it may have lost a confirm, or the removal of what was confirmed
	Refusals    int  // how often the broker may have refused an event that another queue got
	Slow        bool // the machine gave the test no time: answers may be late
	Secrets     bool // a refresh token may get another form of its successor
	Clock       bool // the database's clock was set: a refresh token may have been used longer ago than it was
	Drops       bool // events may be returned to the publisher: the consumer's queue was not bound for a moment
}

func (f Fault) String() string {
	where := "everywhere"
	if f.Replica != Everywhere {
		where = fmt.Sprintf("replica %d", f.Replica)
	}
	return fmt.Sprintf("%7.3f to %7.3f s  %s, %s %s", f.Start.Seconds(), f.End.Seconds(), f.Kind, where, f.Detail)
}

// The times that the service promises.
const (
	AnswerTime   = 2500 * time.Millisecond // no answer takes longer
	RecoveryTime = 2 * time.Second         // after the end of a fault every replica serves again
	SilenceTime  = 5 * time.Second         // no replica goes without a success for longer while its database has no fault
	LockTime     = 10 * time.Second        // what belonged to a vanished client holds a lock no longer
)

func (f Fault) meets(replica int) bool { return f.Replica == Everywhere || f.Replica == replica }

// explains reports whether a request may have got a 503 for the fault.
func (ix index) explains(f Fault, o Op) bool {
	if f.Database && f.meets(o.Replica) && o.overlaps(f.Start, f.End+RecoveryTime) {
		return true
	}
	return f.Locks && o.overlaps(f.Start, f.End+LockTime+RecoveryTime) && ix.locked(f, o)
}

// locked reports whether a request that the fault may have cut off, or one that was under way then, is about the same account.
func (ix index) locked(f Fault, o Op) bool {
	return slices.ContainsFunc(ix.users[o.User], func(p Op) bool {
		return p.ID != o.ID && p.Outcome == Perhaps && f.meets(p.Replica) && p.overlaps(f.Start, f.End)
	})
}

// checkAnswers finds answers that no fault explains: every 5xx but 503 with Retry-After, a 503 without a fault, a lost
// answer of a replica that was not ended, and all that took too long.
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
			all = append(all, breach("answered", o, "no answer, though the replica was neither killed nor ended"))
		}
		if took := o.End - o.Start; took > AnswerTime && !slices.ContainsFunc(ix.Faults, func(f Fault) bool {
			return f.Slow && o.overlaps(f.Start, f.End)
		}) {
			all = append(all, breach("in time", o, "it took %s", took.Round(time.Millisecond)))
		}
	}
	return all
}

// checkSilence finds a replica that only fails for SilenceTime while neither it nor its database has a fault.
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
