package password

import "slices"

// roundRobin serves flows in turn, by start-time fair queuing: the tag of a waiter is one above that of the one before it in its flow,
// or above that of the last one served. So a flow with one waiter is next, however many wait in another flow. The zero value has
// no waiters.
type roundRobin struct {
	last map[Flow]uint64 // the tag of the last waiter of each flow that waits
	now  uint64          // the tag of the waiter that was served last
}

// insert puts a waiter into a list behind those that come before it.
func (r *roundRobin) insert(list *[]*waiter, came *waiter) {
	if r.last == nil {
		r.last = map[Flow]uint64{}
	}
	flow := came.flow.turn()
	came.tag = max(r.now, r.last[flow]) + 1
	r.last[flow] = came.tag
	at := len(*list)
	for at > 0 && (*list)[at-1].tag > came.tag {
		at--
	}
	*list = slices.Insert(*list, at, came)
}

// served notes that a waiter of one of the lists was served.
func (r *roundRobin) served(w *waiter) { r.now = max(r.now, w.tag) }

// left notes that a waiter is no longer in one of the lists, which are all that there are.
func (r *roundRobin) left(gone *waiter, lists ...[]*waiter) {
	flow := gone.flow.turn()
	for _, list := range lists {
		if slices.ContainsFunc(list, func(each *waiter) bool { return each.flow.turn() == flow }) {
			return
		}
	}
	delete(r.last, flow)
}

// longest returns the last waiter of the flow that has the most in the lists. Of flows that have as many it is that of came.
func longest(came *waiter, lists ...[]*waiter) *waiter {
	counts := map[Flow]int{}
	for _, list := range lists {
		for _, each := range list {
			counts[each.flow.turn()]++
		}
	}
	last := came
	for _, list := range lists {
		for _, each := range list {
			flow, most := each.flow.turn(), last.flow.turn()
			if counts[flow] > counts[most] || flow == most && each.tag > last.tag {
				last = each
			}
		}
	}
	return last
}
