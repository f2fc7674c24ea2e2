package history

import (
	"slices"
	"time"
)

const (
	userCreated     = "user.created"
	userUpdated     = "user.updated"
	userDeleted     = "user.deleted"
	loggedIn        = "user.logged_in"
	passwordChanged = "user.password_changed"
	resetRequested  = "user.password_reset_requested"
	verifyRequested = "user.email_verification_requested"
)

// effects are the events and the audit entries of an operation.
type effects struct {
	event string   // the type of the event; a change without a changed field has none
	entry string   // the action of the audit entry
	also  []string // other possible events
}

var effectsOf = map[Kind]effects{
	Register:     {userCreated, "user_created", []string{verifyRequested}},
	Login:        {loggedIn, "authn_login_success", nil},
	Patch:        {userUpdated, "user_updated", nil},
	Put:          {userUpdated, "user_updated", nil},
	Roles:        {userUpdated, "authz_change", nil},
	Status:       {userUpdated, "user_updated", nil},
	Password:     {passwordChanged, "authn_password_change", nil},
	ConfirmReset: {passwordChanged, "authn_password_change", []string{userUpdated}},
	RequestReset: {resetRequested, "authn_token_created", nil},
	SendReset:    {resetRequested, "authn_token_created", nil},
	Erase:        {userDeleted, "user_deleted", nil},
}

// may reports whether an operation can cause events of this type.
func (e effects) may(typ string) bool { return e.event == typ || slices.Contains(e.also, typ) }

// checkEvents finds events without a request, two events of one change, and duplicates that differ.
func checkEvents(ix index) (all []Violation) {
	bodies := map[string]string{}
	for _, e := range ix.Deliveries {
		if body, known := bodies[e.ID]; known && body != e.Body {
			all = append(all, astray("duplicates are the same", e, "a duplicate differs: %s, before %s", e.Body, body))
		}
		bodies[e.ID] = e.Body
	}
	type cause struct {
		op  int
		typ string
	}
	made := map[cause]bool{}
	for _, e := range ix.firsts {
		if ix.Given[e.Subject] && e.Op == 0 {
			continue
		}
		o, known := ix.ops[e.Op]
		switch {
		case !known:
			all = append(all, astray("no phantom", e, "no request caused this event"))
		case o.Outcome == Refused:
			all = append(all, astray("no phantom", e, "the request was refused: %s", o))
		case !effectsOf[o.Kind].may(e.Type):
			all = append(all, astray("no phantom", e, "the request does not cause such an event: %s", o))
		case o.User != "" && o.User != e.Subject:
			all = append(all, astray("no phantom", e, "the request is about another account: %s", o))
		case made[cause{e.Op, e.Type}]:
			all = append(all, astray("no phantom", e, "a second event of one request: %s", o))
		}
		made[cause{e.Op, e.Type}] = true
	}
	return all
}

// checkOrder finds events of one user that are not in the order of the changes.
func checkOrder(ix index) (all []Violation) {
	for _, id := range named(ix.byUser) {
		version, state, deleted := 0, 0, false
		var latest Op // the request that was sent last, among those whose events have arrived
		for _, e := range ix.byUser[id] {
			o, known := ix.ops[e.Op]
			switch {
			case deleted && (!known || !ix.delayed(o)):
				all = append(all, astray("order", e, "an event after the deletion"))
			case deleted || known && ix.forgiven(o): // the broker may have returned the first copy
			case e.UserVersion < version:
				all = append(all, astray("order", e, "version %d arrived before", version))
			case isState(e) && e.UserVersion == state:
				all = append(all, astray("order", e, "another event of version %d arrived before", state))
			case known && o.Outcome == Accepted && o.Kind != RequestReset && o.before(latest): // a reset event is sent after the response
				all = append(all, astray("order", e, "the event of a later request arrived before: %s", latest))
			}
			version, deleted = max(version, e.UserVersion), deleted || e.Type == userDeleted
			if isState(e) {
				state = e.UserVersion
			}
			if known && o.Start > latest.Start {
				latest = o
			}
		}
	}
	return all
}

// checkContents finds events that contradict the request, its response, or the event before.
func checkContents(ix index) (all []Violation) {
	for _, id := range named(ix.byUser) {
		states := ix.states(id)
		for _, e := range ix.byUser[id] {
			if e.User == nil {
				continue
			}
			o := ix.ops[e.Op]
			before, known := states[e.UserVersion-1]
			switch {
			case e.User.Version != e.UserVersion || e.User.ID != e.Subject:
				all = append(all, astray("contents", e, "the id or the version of the user differs from the event's subject or version"))
			case isState(e) && !o.Want.fits(*e.User):
				all = append(all, astray("contents", e, "not what the request changed: %s", o))
			case isState(e) && o.Told != nil && !o.Told.Equal(*e.User):
				all = append(all, astray("contents", e, "differs from the response: %+v", *o.Told))
			case e.Type == userUpdated && known && !follows(before, *e.User, e.Changed):
				all = append(all, astray("contents", e, "is not a successor of %+v", before))
			case e.Type == userCreated && e.UserVersion != 1:
				all = append(all, astray("contents", e, "the first version is not 1"))
			}
		}
	}
	return all
}

// isState reports whether an event contains a new state of an account.
func isState(e Event) bool { return e.Type == userCreated || e.Type == userUpdated }

// states returns the states of an account in the events, by version.
func (ix index) states(id string) map[int]User {
	states := map[int]User{}
	for _, e := range ix.byUser[id] {
		if isState(e) && e.User != nil {
			states[e.UserVersion] = *e.User
		}
	}
	return states
}

// follows reports whether two consecutive states differ only in the fields in changed.
func follows(old, u User, changed []string) bool {
	old.Version++
	old.UpdatedAt = u.UpdatedAt
	for _, member := range changed {
		switch member {
		case "email":
			old.Email = u.Email
		case "email_verified":
			old.Verified = u.Verified
		case "name":
			old.Name = u.Name
		case "locale":
			old.Locale = u.Locale
		case "roles":
			old.Roles = u.Roles
		case "status":
			old.Status = u.Status
		}
	}
	return old.Equal(u)
}

// checkDuplicates finds events with too many deliveries. Only faults that occur while an event waits in the outbox explain additional
// deliveries.
func checkDuplicates(ix index) (all []Violation) {
	copies := map[string]int{}
	for _, e := range ix.Deliveries {
		copies[e.ID]++
	}
	for _, e := range ix.firsts {
		until, allowed := ix.waited(e.Op, e.Time), 1
		for _, f := range ix.Faults {
			if f.Start <= until && f.End >= e.Time {
				allowed += f.Cuts + f.Refusals
			}
		}
		if copies[e.ID] > allowed {
			all = append(all, astray("few duplicates", e, "arrived %d times; faults while it waited, until %.3f s, explain %d",
				copies[e.ID], until.Seconds(), allowed))
		}
	}
	return all
}

// waited returns the end of the time in which an event of the request may have waited in the outbox. That is the first sample
// without the event after the last possible commit of its transaction.
func (ix index) waited(op int, since time.Duration) time.Duration {
	until := since
	for _, s := range ix.Samples {
		if until = s.At; s.At > since+AnswerTime && !slices.Contains(s.Ops, op) {
			break
		}
	}
	return until
}
