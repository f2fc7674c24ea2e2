package history

import (
	"fmt"
	"slices"
)

// checkLosses finds accepted changes without an event, gaps between versions, and events left in the outbox.
func checkLosses(ix index) (all []Violation) {
	for _, o := range ix.Ops {
		if o.User == "" || o.Outcome != Accepted || !ix.mustAnnounce(o) || ix.forgiven(o) {
			continue
		}
		all = append(all, breach("nothing lost", o, "an accepted change without its event"))
	}
	for _, id := range named(ix.byUser) {
		all = append(all, ix.gaps(id)...)
	}
	if ix.Final.Outbox > 0 {
		all = append(all, Violation{Rule: "nothing lost", Text: fmt.Sprintf("%d events are left in the outbox", ix.Final.Outbox)})
	}
	return all
}

// mustAnnounce reports whether an accepted request must have an event. There are three exceptions. A reset may exceed the limit of its
// mailbox. A change may find the account already in the requested state, and the request that caused this state has the event. An
// erasure deletes the user's waiting events.
func (ix index) mustAnnounce(o Op) bool {
	e := effectsOf[o.Kind]
	switch {
	case e.event == "" || e.event == resetRequested || ix.erased[o.User] && o.Kind != Erase:
		return false
	case e.event == userUpdated && o.Told != nil:
		state, known := ix.states(o.User)[o.Told.Version]
		return !ix.changedNothing(o) && (!known || !o.Want.fits(state))
	default:
		return !slices.ContainsFunc(ix.caused[o.ID], func(made Event) bool { return made.Type == e.event })
	}
}

// changedNothing reports whether the account had the version of the response before the request. Then the event belongs to the
// request that created the version.
func (ix index) changedNothing(o Op) bool {
	return slices.ContainsFunc(ix.users[o.User], func(p Op) bool {
		return p.Outcome == Accepted && p.Told != nil && p.Told.Version == o.Told.Version && p.before(o)
	})
}

// forgiven reports whether the consumer's queue may have been unbound when the request's event was sent.
func (ix index) forgiven(o Op) bool {
	until := ix.waited(o.ID, o.End)
	return slices.ContainsFunc(ix.Faults, func(f Fault) bool { return f.Drops && f.Start <= until && f.End >= o.Start })
}

// delayed reports whether the broker may have kept the request's event unread. The event can then arrive after the deletion of its user,
// even though the outbox no longer has it.
func (ix index) delayed(o Op) bool {
	until := ix.waited(o.ID, o.End)
	return slices.ContainsFunc(ix.Faults, func(f Fault) bool { return f.Delays && f.Start <= until && f.End >= o.Start })
}

// gaps finds versions between 1 and the last one without an event.
func (ix index) gaps(id string) (all []Violation) {
	events := ix.byUser[id]
	if ix.erased[id] || slices.ContainsFunc(ix.users[id], ix.forgiven) {
		return nil
	}
	states := ix.states(id)
	looked := 0 // the last version that was checked
	for _, e := range events {
		for version := looked + 1; isState(e) && version < e.UserVersion; version++ {
			if _, known := states[version]; !known {
				all = append(all, astray("nothing lost", e, "no event of version %d", version))
			}
			looked = version
		}
	}
	return all
}

// checkAccounts compares the database with the last event of each account, and with the responses.
func checkAccounts(ix index) (all []Violation) {
	for _, u := range ix.Final.Users {
		last := User{}
		for _, s := range ix.states(u.ID) {
			if s.Version > last.Version {
				last = s
			}
		}
		switch {
		case ix.erased[u.ID]:
			all = append(all, Violation{Rule: "accounts", User: u.ID, Text: fmt.Sprintf("an erased account is in the database: %+v", u)})
		case !last.Equal(u) && !ix.forgivenAny(u.ID):
			all = append(all,
				Violation{Rule: "accounts", User: u.ID, Text: fmt.Sprintf("the database has %+v, the last event %+v", u, last)})
		}
	}
	for _, o := range ix.Ops {
		_, exists := ix.rows[o.User]
		if o.Outcome == Accepted && o.Kind == Register && !exists && !ix.mayBeErased(o.User) {
			all = append(all, breach("accounts", o, "an account is no longer in the database"))
		}
		if u := ix.rows[o.User]; o.Outcome == Accepted && o.Told != nil && exists && u.Version < o.Told.Version {
			all = append(all, breach("accounts", o, "an accepted change is lost: the database has %+v", u))
		}
	}
	for _, id := range named(ix.byUser) {
		if _, exists := ix.rows[id]; !exists && !ix.mayBeErased(id) {
			all = append(all, Violation{Rule: "accounts", User: id, Text: "an account with events is not in the database: " + id})
		}
	}
	return all
}

func (ix index) forgivenAny(id string) bool { return slices.ContainsFunc(ix.users[id], ix.forgiven) }

// mayBeErased reports whether a request to erase the account was accepted or had no response.
func (ix index) mayBeErased(id string) bool {
	return slices.ContainsFunc(ix.users[id], func(o Op) bool { return o.Kind == Erase && o.Outcome != Refused })
}

// checkReads finds responses with a state that the account never had, or that was replaced before the request.
func checkReads(ix index) (all []Violation) {
	for _, id := range named(ix.users) {
		states, ops := ix.states(id), ix.users[id]
		for _, o := range ops {
			if o.Outcome != Accepted {
				continue
			}
			for _, p := range ops {
				if p.Outcome == Accepted && p.before(o) && contradicts(p, o) {
					all = append(all, breach("stale", o, "an earlier response contradicts this one: %s", p))
				}
			}
			if o.Told == nil {
				continue
			}
			if state, known := states[o.Told.Version]; known && !state.Equal(*o.Told) {
				all = append(all, breach("stale", o, "the response has %+v, the event of this version %+v", *o.Told, state))
			}
			if o.Want.IfVersion > 0 && (o.Told.Version < o.Want.IfVersion || o.Told.Version > o.Want.IfVersion+1) {
				all = append(all, breach("stale", o, "the change began at another version than its If-Match"))
			}
		}
	}
	return all
}

// contradicts reports whether an earlier accepted request excludes the later response.
func contradicts(before, later Op) bool {
	if before.Kind == Erase && later.Kind != RequestReset {
		return true
	}
	return before.Told != nil && later.Told != nil && later.Told.Version < before.Told.Version
}
