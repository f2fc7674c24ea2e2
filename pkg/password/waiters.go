package password

import (
	"net/netip"
	"slices"
	"time"
)

// waiter is a caller that waits for a slot and memory.
type waiter struct {
	flow    Flow
	memory  int64
	costly  bool          // the hash has had a slot, and was found to be costly
	tag     uint64        // its turn, see rotation
	granted chan struct{} // closed when the slot is the caller's, or when it is refused
	refused bool          // its place went to a flow with fewer waiters
}

// waiters are the callers that wait. The zero value has none.
type waiters struct {
	second []*waiter // for the second hash of a request: they come before all others

	of     [classes][]*waiter // for the first hash
	turns  roundRobin         // of these
	others int                // hashes of other classes that started since the last reauthentication

	running map[netip.Prefix]int // hashes that run, by source
	recent  [2]arrival           // the last one of each of the two sources that came last

	costly      []*waiter // for a costly hash
	costlyTurns roundRobin
	cheap       int // other hashes that started since the last costly one
}

// arrival is when a source came last.
type arrival struct {
	source netip.Prefix
	at     time.Time
}

// alone is how long after the last hash of another source a source may use all slots.
const alone = 10 * time.Second

// add has a waiter wait for its first hash.
func (w *waiters) add(came *waiter) {
	w.turns.insert(&w.of[came.flow.Class], came)
	if w.recent[0].source != came.flow.Source {
		w.recent[1] = w.recent[0]
	}
	w.recent[0] = arrival{came.flow.Source, time.Now()}
}

// fills reports whether a source has as many slots as it may have while other sources use the queue too.
func (w *waiters) fills(source netip.Prefix, most int) bool {
	return w.running[source] >= most && slices.ContainsFunc(w.recent[:], func(other arrival) bool {
		return other.source != source && time.Since(other.at) < alone
	})
}

// addCostly has a waiter wait for its costly hash.
func (w *waiters) addCostly(came *waiter) { w.costlyTurns.insert(&w.costly, came) }

// waiting returns how many wait for their first slot, of a class and those after it.
func (w *waiters) waiting(from Class) int {
	n := 0
	for _, list := range w.of[from:] {
		n += len(list)
	}
	return n
}

// all returns how many wait.
func (w *waiters) all() int { return len(w.second) + w.waiting(Login) + len(w.costly) }

// next returns the next waiter whose hash is not known to be costly, or nil if there is none. Of two classes it is the one
// with the lower tag. While others wait, three of their hashes start between two reauthentications. It is not a
// reauthentication unless reauthenticate is true, and not of a source that has most slots while other sources use the queue.
func (w *waiters) next(reauthenticate bool, most int) *waiter {
	for _, second := range w.second {
		if second.flow.Class != Reauthentication || reauthenticate {
			return second
		}
	}
	var first *waiter
	for class, list := range w.of {
		if Class(class) == Reauthentication && (!reauthenticate || first != nil && w.others < othersBetween) {
			continue
		}
		at := slices.IndexFunc(list, func(each *waiter) bool { return !w.fills(each.flow.Source, most) })
		if at >= 0 && (first == nil || list[at].tag < first.tag) {
			first = list[at]
		}
	}
	return first
}

// nextCostly returns the costly hash that is next, or nil if there is none.
func (w *waiters) nextCostly() *waiter {
	if len(w.costly) == 0 {
		return nil
	}
	return w.costly[0]
}

// started notes that the hash of a waiter starts.
func (w *waiters) started(next *waiter) {
	if w.running == nil {
		w.running = map[netip.Prefix]int{}
	}
	w.running[next.flow.Source]++
	if next.costly { // of which only the cost was unknown when it started first
		w.costlyTurns.served(next)
		w.cheap = 0
		return
	}
	w.cheap++
	w.turns.served(next)
	switch {
	case next.flow.Class != Reauthentication:
		w.others++
	case next.flow.Second: // three more of other classes are due for it
		w.others -= othersBetween
	default:
		w.others = 0
	}
}

// ended notes that a hash of a source has ended.
func (w *waiters) ended(source netip.Prefix) {
	if w.running[source]--; w.running[source] == 0 {
		delete(w.running, source)
	}
}

// remove reports whether the waiter still waited.
func (w *waiters) remove(gone *waiter) bool {
	switch {
	case gone.flow.Second && !gone.costly:
		return removeFrom(&w.second, gone)
	case gone.costly:
		removed := removeFrom(&w.costly, gone)
		w.costlyTurns.left(gone, w.costly)
		return removed
	default:
		removed := removeFrom(&w.of[gone.flow.Class], gone)
		w.turns.left(gone, w.of[:]...)
		return removed
	}
}

func removeFrom(list *[]*waiter, gone *waiter) bool {
	at := slices.Index(*list, gone)
	if at < 0 {
		return false
	}
	*list = slices.Delete(*list, at, at+1)
	return true
}
