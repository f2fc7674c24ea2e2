package history

import (
	"fmt"
	"slices"
	"time"
)

// History is the record of a run.
type History struct {
	Ops        []Op
	Faults     []Fault
	Deliveries []Event // in the order of the consumer's queue, with duplicates
	Samples    []Sample
	Final      Final
	Given      map[string]bool // accounts that no client created, such as an administrator of the command line
}

// Event is one message of a consumer's queue.
type Event struct {
	ID          string
	Type        string
	Subject     string
	UserVersion int
	Time        time.Duration
	Op          int // the request in its trace context; 0: none
	User        *User
	Changed     []string
	Session     string // the session that a login opened
	Body        string // the raw message
}

func (e Event) String() string {
	s := fmt.Sprintf("%7.3f s  event %s: %s of %s, version %d, op %d", e.Time.Seconds(), e.ID, e.Type, e.Subject, e.UserVersion, e.Op)
	if e.User != nil {
		s += fmt.Sprintf(", %+v changed %q", *e.User, e.Changed)
	}
	return s
}

// Sample lists the requests whose events were in the outbox at one time.
type Sample struct {
	At  time.Duration
	Ops []int
}

// Final is the state of the database after the run.
type Final struct {
	Users    []User
	Sessions []Session
	Audit    []Entry
	Outbox   int // events that were not published
}

// Session is a row of the database.
type Session struct {
	ID      string
	User    string
	Counter uint64
}

// Entry is an entry of the audit trail.
type Entry struct {
	Action string
	User   string
	Op     int // the request in its request id; 0: none, or the user is erased
}

// Violation is a broken promise.
type Violation struct {
	Rule string
	Text string
	User string // the affected account, if there is one
	At   time.Duration
}

func (v Violation) String() string { return v.Rule + ": " + v.Text }

// Check returns all violations of a run.
func Check(h History) []Violation {
	ix := newIndex(h)
	var all []Violation
	for _, check := range []func(index) []Violation{
		checkAnswers, checkSilence, checkEvents, checkOrder, checkContents, checkLosses, checkDuplicates,
		checkAccounts, checkReads, checkSessions, checkRefreshes, checkPasswords, checkAudit,
	} {
		all = append(all, check(ix)...)
	}
	return all
}

// index is a history with lookup tables for the checks.
type index struct {
	History
	byPermission []Op // The administrator's requests.

	ops    map[int]Op
	firsts []Event            // The deliveries without duplicates.
	byUser map[string][]Event // The events of firsts by user.
	users  map[string][]Op    // The requests on each account.
	erased map[string]bool    // Accounts with an accepted or announced deletion.
	caused map[int][]Event    // The events of firsts by request.
	rows   map[string]User    // The final rows in the database.
}

func newIndex(h History) index {
	ix := index{
		History: h, ops: map[int]Op{}, byUser: map[string][]Event{}, users: map[string][]Op{},
		erased: map[string]bool{}, caused: map[int][]Event{}, rows: map[string]User{},
	}
	seen := map[string]bool{}
	ids := map[int]string{} // accounts whose registration had no response
	for _, e := range h.Deliveries {
		if seen[e.ID] {
			continue
		}
		seen[e.ID] = true
		ix.firsts = append(ix.firsts, e)
		ix.byUser[e.Subject] = append(ix.byUser[e.Subject], e)
		ix.caused[e.Op] = append(ix.caused[e.Op], e)
		if e.Type == userDeleted {
			ix.erased[e.Subject] = true
		}
		if e.Type == userCreated {
			ids[e.Op] = e.Subject
		}
	}
	for _, o := range h.Ops {
		if o.User == "" && o.Kind == Register && o.Outcome == Perhaps {
			o.User = ids[o.ID]
		}
		ix.ops[o.ID] = o
		if o.User != "" {
			ix.users[o.User] = append(ix.users[o.User], o)
		}
		if o.ByPermission {
			ix.byPermission = append(ix.byPermission, o)
		}
		if o.Kind == Erase && o.Outcome == Accepted {
			ix.erased[o.User] = true
		}
	}
	for _, u := range h.Final.Users {
		ix.rows[u.ID] = u
	}
	return ix
}

// named returns the sorted keys of a map, so that the output of a check is always the same.
func named[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// breach returns a violation by a request.
func breach(rule string, o Op, format string, args ...any) Violation {
	return Violation{Rule: rule, User: o.User, At: o.Start, Text: fmt.Sprintf(format, args...) + "\n\t" + o.String()}
}

// astray returns a violation by an event.
func astray(rule string, e Event, format string, args ...any) Violation {
	return Violation{Rule: rule, User: e.Subject, At: e.Time, Text: fmt.Sprintf(format, args...) + "\n\t" + e.String()}
}
