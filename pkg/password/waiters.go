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
	costly  bool          // The hash had a slot, and turned out to be costly.
	tag     uint64        // The position in its list, see roundRobin.
	granted chan struct{} // Closed when the caller gets the slot or is refused.
	refused bool          // It was the last of the longest flow when the queue was full.
}

// waiters are the callers that wait. The zero value has none.
type waiters struct {
	second []*waiter // for the second hash of a request: they are served before all others

	first       [classes][]*waiter // for the first hash of a request
	firstOrder  roundRobin
	sinceReauth int // hashes of other classes that started since the last reauthentication

	running map[netip.Prefix]int // running hashes by source
	recent  [2]arrival           // the last arrivals of the two most recent sources

	costly      []*waiter // for a costly hash
	costlyOrder roundRobin
	sinceCostly int // other hashes that started since the last costly one
}

// arrival is the time of the last request of a source.
type arrival struct {
	source netip.Prefix
	at     time.Time
}

// otherSourceWindow is how long a source must leave a slot free after the last arrival of another source. After that time, the source
// may use all slots.
const otherSourceWindow = 10 * time.Second

// add adds a waiter for the first hash of a request.
func (ws *waiters) add(w *waiter) {
	ws.firstOrder.insert(&ws.first[w.flow.Class], w)
	if ws.recent[0].source != w.flow.Source {
		ws.recent[1] = ws.recent[0]
	}
	ws.recent[0] = arrival{w.flow.Source, time.Now()}
}

// atLimit reports whether a source has all slots that it may have while other sources use the queue.
func (ws *waiters) atLimit(source netip.Prefix, limit int) bool {
	return ws.running[source] >= limit && slices.ContainsFunc(ws.recent[:], func(other arrival) bool {
		return other.source != source && time.Since(other.at) < otherSourceWindow
	})
}

// addCostly adds a waiter for a costly hash.
func (ws *waiters) addCostly(w *waiter) { ws.costlyOrder.insert(&ws.costly, w) }

// waiting returns how many waiters for a first hash belong to the class from or to a class after it.
func (ws *waiters) waiting(from Class) int {
	n := 0
	for _, list := range ws.first[from:] {
		n += len(list)
	}
	return n
}

// count returns the number of waiters.
func (ws *waiters) count() int { return len(ws.second) + ws.waiting(Login) + len(ws.costly) }

// next returns the next waiter whose hash is not known to be costly, or nil. Second hashes come first, then the lowest tag of all
// classes. While other classes wait, three of their hashes start between two reauthentications. Two kinds of waiters are skipped:
// reauthentications if reauthenticate is false, and sources that are at their limit of slots.
func (ws *waiters) next(reauthenticate bool, limit int) *waiter {
	for _, second := range ws.second {
		if second.flow.Class != Reauthentication || reauthenticate {
			return second
		}
	}
	var first *waiter
	for class, list := range ws.first {
		if Class(class) == Reauthentication && (!reauthenticate || first != nil && ws.sinceReauth < othersPerReauthentication) {
			continue
		}
		at := slices.IndexFunc(list, func(w *waiter) bool { return !ws.atLimit(w.flow.Source, limit) })
		if at >= 0 && (first == nil || list[at].tag < first.tag) {
			first = list[at]
		}
	}
	return first
}

// nextCostly returns the next waiter for a costly hash, or nil.
func (ws *waiters) nextCostly() *waiter {
	if len(ws.costly) == 0 {
		return nil
	}
	return ws.costly[0]
}

// started records that the hash of a waiter starts.
func (ws *waiters) started(w *waiter) {
	if ws.running == nil {
		ws.running = map[netip.Prefix]int{}
	}
	ws.running[w.flow.Source]++
	if w.costly { // its flow was counted when it got its first slot
		ws.costlyOrder.served(w)
		ws.sinceCostly = 0
		return
	}
	ws.sinceCostly++
	ws.firstOrder.served(w)
	switch {
	case w.flow.Class != Reauthentication:
		ws.sinceReauth++
	case w.flow.Second: // three more hashes of other classes are due
		ws.sinceReauth -= othersPerReauthentication
	default:
		ws.sinceReauth = 0
	}
}

// ended records that a hash of a source has ended.
func (ws *waiters) ended(source netip.Prefix) {
	if ws.running[source]--; ws.running[source] == 0 {
		delete(ws.running, source)
	}
}

// remove removes a waiter, and reports whether it was waiting.
func (ws *waiters) remove(w *waiter) bool {
	switch {
	case w.flow.Second && !w.costly:
		return removeFrom(&ws.second, w)
	case w.costly:
		removed := removeFrom(&ws.costly, w)
		ws.costlyOrder.removed(w, ws.costly)
		return removed
	default:
		removed := removeFrom(&ws.first[w.flow.Class], w)
		ws.firstOrder.removed(w, ws.first[:]...)
		return removed
	}
}

func removeFrom(list *[]*waiter, w *waiter) bool {
	at := slices.Index(*list, w)
	if at < 0 {
		return false
	}
	*list = slices.Delete(*list, at, at+1)
	return true
}
