package password

import "slices"

// waiter is a caller that waits for a slot and memory.
type waiter struct {
	flow    Flow
	memory  int64
	costly  bool          // the hash has had a slot, and was found to be costly
	tag     uint64        // virtual start time
	granted chan struct{} // closed when the slot is the caller's, or when it is refused
	refused bool          // its place went to a flow with fewer waiters
}

// waiters are the callers that wait, by class. The zero value has none.
//
// Within a class, flows are served by start-time fair queuing: the tag of a waiter is one above that of the one before it in
// its flow, or above that of the last one served. So a flow with one waiter is next, however many wait in another flow.
type waiters struct {
	costly []*waiter // for a costly hash
	second []*waiter // for the second hash of a request
	of     [classes][]*waiter
	last   map[Flow]uint64 // the tag of the last waiter of each flow that waits
	now    uint64          // the tag of the waiter that was served last
	others int             // hashes of other classes that started since the last reauthentication
}

// add puts a waiter behind those of its class that come before it.
func (w *waiters) add(came *waiter) {
	if w.last == nil {
		w.last = map[Flow]uint64{}
	}
	came.tag = max(w.now, w.last[came.flow.turn()]) + 1
	w.last[came.flow.turn()] = came.tag
	list := &w.of[came.flow.Class]
	at := len(*list)
	for at > 0 && (*list)[at-1].tag > came.tag {
		at--
	}
	*list = slices.Insert(*list, at, came)
}

// waiting returns how many wait for a slot, of a class and those after it.
func (w *waiters) waiting(from Class) int {
	n := 0
	for _, list := range w.of[from:] {
		n += len(list)
	}
	return n
}

// next returns the waiter that is next, or nil if there is none. Of two classes it is the one with the lower tag, but for
// reauthentications: while others wait, three of those start between two of them. Without reauthenticate, it is none of them.
func (w *waiters) next(reauthenticate bool) *waiter {
	if len(w.second) > 0 {
		return w.second[0]
	}
	var first *waiter
	for class, list := range w.of {
		if len(list) == 0 || Class(class) == Reauthentication && (!reauthenticate || first != nil && w.others < othersBetween) {
			continue
		}
		if first == nil || list[0].tag < first.tag {
			first = list[0]
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
	w.now = max(w.now, next.tag)
	switch {
	case next.costly: // it started before
	case next.flow.Class != Reauthentication:
		w.others++
	case next.flow.Second: // three more of other classes are due for it
		w.others -= othersBetween
	default:
		w.others = 0
	}
}

// longest returns the last waiter of the flow that has the most, of a class and those after it. Of flows that have as many
// it is that of came.
func (w *waiters) longest(from Class, came *waiter) *waiter {
	counts := map[Flow]int{}
	for _, list := range w.of[from:] {
		for _, each := range list {
			counts[each.flow.turn()]++
		}
	}
	last := came
	for _, list := range w.of[from:] {
		for _, each := range list {
			flow, longest := each.flow.turn(), last.flow.turn()
			if counts[flow] > counts[longest] || flow == longest && each.tag > last.tag {
				last = each
			}
		}
	}
	return last
}

// remove reports whether the waiter still waited.
func (w *waiters) remove(gone *waiter) bool {
	for _, list := range []*[]*waiter{&w.costly, &w.second, &w.of[gone.flow.Class]} {
		at := slices.Index(*list, gone)
		if at < 0 {
			continue
		}
		*list = slices.Delete(*list, at, at+1)
		if !w.has(gone.flow.turn()) {
			delete(w.last, gone.flow.turn())
		}
		return true
	}
	return false
}

// has reports whether a waiter of a flow waits for its first slot.
func (w *waiters) has(flow Flow) bool {
	for _, list := range w.of {
		if slices.ContainsFunc(list, func(each *waiter) bool { return each.flow.turn() == flow }) {
			return true
		}
	}
	return false
}
