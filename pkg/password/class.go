package password

import "net/netip"

// Flow groups the requests for hashes by class and source. The flows of a class are served round robin (fair queuing), so that
// the requests of one source do not make other sources wait.
type Flow struct {
	Class  Class
	Source netip.Prefix // the client's network
	// Second marks the second hash of a request. Second hashes are computed before all first hashes, because the refusal of a second hash
	// would waste the first hash of the same request.
	Second bool
}

// key returns the flow with which f is served round robin. A source has one flow for its reauthentications, and one flow for all its
// other requests.
func (f Flow) key() Flow {
	if f.Class != Reauthentication {
		f.Class = Login
	}
	f.Second = false
	return f
}

// Class is the purpose of a hash. Each class has a share of the queue, so that no class fills the whole queue.
type Class int

// The classes, in the order of their shares of the queue: the largest share comes first.
const (
	Login            Class = iota // Checks the password of an anonymous caller, or upgrades the stored hash.
	Other                         // The first password of an account, or the new password of a reset.
	Reauthentication              // Checks or replaces the password of an authenticated caller.
	classes
)

// limit returns how many hashes of the class c and of the classes after c may wait together in a queue of this size. One quarter of the
// queue is only for logins, and another quarter only for anonymous callers.
func (c Class) limit(size int) int {
	switch c {
	case Login:
		return size
	case Other:
		return size * 3 / 4
	default:
		return size / 2
	}
}

// othersPerReauthentication is the number of hashes of other classes that start between two reauthentications while hashes of both kinds
// wait.
const othersPerReauthentication = 3
