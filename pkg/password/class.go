package password

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
