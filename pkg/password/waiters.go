package password

import "slices"

// waiter is a caller that waits until so many units are free.
type waiter struct {
	class   Class
	n       int64
	number  uint64        // by arrival
	granted chan struct{} // closed when the units are the caller's
}

// waiters are the callers that wait, each class in the order of arrival. The zero value has none.
type waiters struct {
	growing []*waiter // had their turn, and need more units: they come before all others
	of      [classes][]*waiter
	others  int // hashes of other classes that started since the last reauthentication
}

// waiting returns how many wait for their turn, of a class and those after it.
func (w *waiters) waiting(from Class) int {
	n := 0
	for _, list := range w.of[from:] {
		n += len(list)
	}
	return n
}

// next returns the waiter whose turn is next, or nil if there is none. It is who came first, but for
// reauthentications: while others wait, three of those start between two of them.
func (w *waiters) next() *waiter {
	if len(w.growing) > 0 {
		return w.growing[0]
	}
	var first *waiter
	for class, list := range w.of {
		if len(list) == 0 || Class(class) == Reauthentication && first != nil && w.others < othersBetween {
			continue
		}
		if first == nil || list[0].number < first.number {
			first = list[0]
		}
	}
	return first
}

// started notes that a hash of the class starts.
func (w *waiters) started(c Class) {
	if c == Reauthentication {
		w.others = 0
		return
	}
	w.others++
}

// remove reports whether the waiter still waited.
func (w *waiters) remove(gone *waiter) bool {
	for _, list := range []*[]*waiter{&w.growing, &w.of[gone.class]} {
		if at := slices.Index(*list, gone); at >= 0 {
			*list = slices.Delete(*list, at, at+1)
			return true
		}
	}
	return false
}
