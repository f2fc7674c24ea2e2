package password

import "net/netip"

// Flow identifies the requests that a hash is computed for. The flows of a class are served round robin (fair queuing), so that
// one source does not keep the others waiting.
type Flow struct {
	Class  Class
	Source netip.Prefix // the client's network
	// Second marks the second hash of a request. It is computed before all first hashes, because a refusal of the request would
	// waste its first hash.
	Second bool
}

// key returns the flow that is served round robin with others. A source has one flow for its reauthentications and one for all its
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

// The classes, from the largest share of the queue to the smallest.
const (
	Login            Class = iota // Checks the password of an anonymous caller, or upgrades the stored hash.
	Other                         // The first password of an account, or the new password of a reset.
	Reauthentication              // Checks or replaces the password of an authenticated caller.
	classes
)

// limit returns how many hashes of a class and of the classes after it may wait in a queue of this size. A quarter of the queue is
// for logins alone, and another quarter for anonymous callers.
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

// othersPerReauthentication is how many hashes of other classes start between two reauthentications while both wait.
const othersPerReauthentication = 3
