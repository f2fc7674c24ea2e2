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
	costly  bool          // The hash already had a slot, but turned out to be costly.
	tag     uint64        // Determines the position in the list, see roundRobin.
	granted chan struct{} // Closed when the caller gets the slot or is refused.
	refused bool          // It was the last waiter of the longest flow when the queue was full.
}

// waiters are the callers that wait. The zero value has no waiters.
type waiters struct {
	second []*waiter // waiters for the second hash of a request; they are served before all others

	first       [classes][]*waiter // waiters for the first hash of a request
	firstOrder  roundRobin
	sinceReauth int // the number of hashes of other classes that started since the last reauthentication

	running map[netip.Prefix]int // the number of running hashes of each source
	recent  [2]arrival           // the last arrivals of the two most recent sources

	costly      []*waiter // waiters for a costly hash
	costlyOrder roundRobin
	sinceCostly int // the number of other hashes that started since the last costly hash
}

// arrival is the time of the last request of a source.
type arrival struct {
	source netip.Prefix
	at     time.Time
}

// otherSourceWindow is the time after the last request of another source for which a source must leave a slot free. After this time, the
// source may use all slots.
const otherSourceWindow = 10 * time.Second

// add adds a waiter for the first hash of a request.
func (ws *waiters) add(w *waiter) {
	ws.firstOrder.insert(&ws.first[w.flow.Class], w)
	if ws.recent[0].source != w.flow.Source {
		ws.recent[1] = ws.recent[0]
	}
	ws.recent[0] = arrival{w.flow.Source, time.Now()}
}

// atLimit reports whether a source already has limit slots while other sources use the queue.
func (ws *waiters) atLimit(source netip.Prefix, limit int) bool {
	return ws.running[source] >= limit && slices.ContainsFunc(ws.recent[:], func(other arrival) bool {
		return other.source != source && time.Since(other.at) < otherSourceWindow
	})
}

// addCostly adds a waiter for a costly hash.
func (ws *waiters) addCostly(w *waiter) { ws.costlyOrder.insert(&ws.costly, w) }

// waiting returns the number of waiters for a first hash in the class from and in the classes after it.
func (ws *waiters) waiting(from Class) int {
	n := 0
	for _, list := range ws.first[from:] {
		n += len(list)
	}
	return n
}

// count returns the number of waiters.
func (ws *waiters) count() int { return len(ws.second) + ws.waiting(Login) + len(ws.costly) }

// next returns the next waiter whose hash is not known to be costly, or nil. Waiters for second hashes come first, then the waiter with
// the lowest tag of all classes. While hashes of other classes wait, three of them start between two reauthentications. next skips
// reauthentications if reauthenticate is false, and waiters whose source has reached its limit of slots.
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
	if w.costly { // firstOrder has already recorded this hash, when it got its first slot
		ws.costlyOrder.served(w)
		ws.sinceCostly = 0
		return
	}
	ws.sinceCostly++
	ws.firstOrder.served(w)
	switch {
	case w.flow.Class != Reauthentication:
		ws.sinceReauth++
	case w.flow.Second: // three more hashes of other classes must start before the next reauthentication
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
