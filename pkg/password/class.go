package password

import "net/netip"

// Flow is what hashes are computed for. The flows of a class are served in rotation (fair queuing), so that no source keeps
// the others out.
type Flow struct {
	Class  Class
	Source netip.Prefix // the network that the requests come from
	// Second says that the request has had another hash computed. It comes before those that wait for their first one: a request that is
	// refused halfway has cost a hash for nothing.
	Second bool
}

// turn returns the flow that takes turns with others: what is not a reauthentication is one flow of its source.
func (f Flow) turn() Flow {
	if f.Class != Reauthentication {
		f.Class = Login
	}
	f.Second = false
	return f
}

// Class is what a hash is computed for. Each class has a share of the queue, so that none keeps the others out.
type Class int

// The classes, from the one with the most places to the one with the fewest.
const (
	Login            Class = iota // the password of somebody who is not logged in, and its upgrade
	Other                         // the first password of an account, or that of a reset
	Reauthentication              // the password of somebody who is logged in, and the one that replaces it
	classes
)

// share returns how many of the places a class may take, together with the classes after it: a quarter of the
// places is for logins alone, and another one for those that are not logged in.
func (c Class) share(places int) int {
	switch c {
	case Login:
		return places
	case Other:
		return places * 3 / 4
	default:
		return places / 2
	}
}

// othersBetween is how many hashes of other classes start between two reauthentications while somebody else waits.
const othersBetween = 3
