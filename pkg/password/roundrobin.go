package password

import "slices"

// roundRobin serves flows round robin (start-time fair queuing). It serves waiters in the order of their tags. The tag of a waiter is one
// above the tag of the flow's previous waiter, but at least one above the last served tag. So a flow with a single waiter does not wait
// for all waiters of longer flows. The zero value has no waiters.
type roundRobin struct {
	last map[Flow]uint64 // the tag of the last waiter of each waiting flow
	now  uint64          // the tag of the waiter that was served last
}

// insert adds a waiter to a list that is sorted by tags.
func (r *roundRobin) insert(list *[]*waiter, w *waiter) {
	if r.last == nil {
		r.last = map[Flow]uint64{}
	}
	flow := w.flow.key()
	w.tag = max(r.now, r.last[flow]) + 1
	r.last[flow] = w.tag
	at := len(*list)
	for at > 0 && (*list)[at-1].tag > w.tag {
		at--
	}
	*list = slices.Insert(*list, at, w)
}

// served records that a waiter was served.
func (r *roundRobin) served(w *waiter) { r.now = max(r.now, w.tag) }

// removed records that a waiter was removed from its list. lists must be all lists of r.
func (r *roundRobin) removed(w *waiter, lists ...[]*waiter) {
	flow := w.flow.key()
	for _, list := range lists {
		if slices.ContainsFunc(list, func(other *waiter) bool { return other.flow.key() == flow }) {
			return
		}
	}
	delete(r.last, flow)
}

// lastOfLongest returns the last waiter of the longest flow in the lists. If several flows are the longest and w belongs to one of these,
// it returns the last waiter of that flow.
func lastOfLongest(w *waiter, lists ...[]*waiter) *waiter {
	length := map[Flow]int{}
	for _, list := range lists {
		for _, other := range list {
			length[other.flow.key()]++
		}
	}
	last := w
	for _, list := range lists {
		for _, other := range list {
			flow, longest := other.flow.key(), last.flow.key()
			if length[flow] > length[longest] || flow == longest && other.tag > last.tag {
				last = other
			}
		}
	}
	return last
}
