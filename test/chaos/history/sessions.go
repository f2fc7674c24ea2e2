package history

import (
	"fmt"
	"slices"
	"time"
)

// refreshGrace is the time in which a used refresh token still returns its successor.
const refreshGrace = 10 * time.Second

// checkSessions compares the sessions of the database with the opened and ended sessions.
func checkSessions(ix index) (all []Violation) {
	rows := map[string]Session{}
	opened, told := ix.opened()
	for _, s := range ix.Final.Sessions {
		rows[s.ID] = s
		if ix.Given[s.User] || told[s.ID] {
			continue
		}
		if _, known := opened[s.ID]; !known && !ix.mayHaveOpened(s.User) {
			all = append(all, Violation{Rule: "sessions", User: s.User, Text: fmt.Sprintf("no login opened the session %+v", s)})
		}
	}
	for _, id := range named(opened) {
		o := opened[id]
		row, exists := rows[id]
		switch {
		case exists && ix.ended(o, forever):
			all = append(all, breach("sessions", o, "an ended session is in the database"))
		case !exists && !ix.mayHaveEnded(o, forever) && !ix.reused(o):
			all = append(all, breach("sessions", o, "a session is missing"))
		case exists:
			if least, most := ix.turns(id); row.Counter < least || row.Counter > most {
				all = append(all, breach("sessions", o, "the counter is %d, not from %d to %d", row.Counter, least, most))
			}
		}
	}
	return all
}

// opened returns the accepted requests that opened a session, and the sessions in events.
func (ix index) opened() (ops map[string]Op, told map[string]bool) {
	ops, told = map[string]Op{}, map[string]bool{}
	for _, o := range ix.Ops {
		if o.Outcome == Accepted && o.Session != "" && (o.Kind == Login || o.Kind == Password) {
			ops[o.Session] = o
		}
	}
	for _, e := range ix.firsts {
		told[e.Session] = true
	}
	return ops, told
}

// mayHaveOpened reports whether a login or a change of the password had no response.
func (ix index) mayHaveOpened(user string) bool {
	return slices.ContainsFunc(ix.users[user], func(o Op) bool {
		return o.Outcome == Perhaps && (o.Kind == Login || o.Kind == Password)
	})
}

// forever is later than any request.
const forever = time.Duration(1<<63 - 1)

// ended reports whether an accepted request ended the session that o opened, and had its response before a time.
func (ix index) ended(o Op, before time.Duration) bool {
	return slices.ContainsFunc(ix.users[o.User], func(p Op) bool {
		return p.ID != o.ID && p.ends(o.Session) && p.Outcome == Accepted && o.before(p) && p.End < before
	})
}

// mayHaveEnded reports whether a request that was sent before a time may have ended the session that o opened.
func (ix index) mayHaveEnded(o Op, before time.Duration) bool {
	return slices.ContainsFunc(ix.users[o.User], func(p Op) bool {
		return p.ID != o.ID && p.ends(o.Session) && p.Start < before && (p.Outcome == Perhaps || p.Outcome == Accepted && p.End >= o.Start)
	})
}

// ends reports whether a completed request ends a session of its user.
func (o Op) ends(session string) bool {
	switch o.Kind {
	case Logout:
		return o.Session == session
	case EndSessions, Password, ConfirmReset, Erase:
		return true
	case Status:
		return o.Want.Status == "disabled"
	default:
		return false
	}
}

// reused reports whether the service may have treated a refresh of the session as reuse, because the presented token was not the newest
// one.
func (ix index) reused(o Op) bool {
	return slices.ContainsFunc(ix.users[o.User], func(p Op) bool {
		return p.Kind == Refresh && p.Session == o.Session && ix.mayBeReuse(p)
	})
}

// mayBeReuse reports whether the token of a refresh may have been used before the grace began, or may be two rotations old.
func (ix index) mayBeReuse(o Op) bool {
	return slices.ContainsFunc(ix.users[o.User], func(p Op) bool {
		if p.ID == o.ID || p.Kind != Refresh || p.Session != o.Session || p.Start > o.End || p.Outcome == Refused {
			return false
		}
		return p.Shown > o.Shown || p.Shown == o.Shown && (o.End-p.Start > refreshGrace || ix.clockSet(p.Start, o.End))
	})
}

// clockSet reports whether the database's clock was set between two times.
func (ix index) clockSet(start, end time.Duration) bool {
	return slices.ContainsFunc(ix.Faults, func(f Fault) bool { return f.Clock && f.Start <= end && f.End >= start })
}

// rotated reports whether the token key changed, which changes the form of the same token.
func (ix index) rotated() bool {
	return slices.ContainsFunc(ix.Faults, func(f Fault) bool { return f.Secrets })
}

// turns returns the lowest and the highest possible counter of a session.
func (ix index) turns(session string) (least, most uint64) {
	for _, o := range ix.Ops {
		if o.Kind != Refresh || o.Session != session {
			continue
		}
		if o.Outcome == Accepted {
			least, most = max(least, o.Got), max(most, o.Got)
		}
		if o.Outcome == Perhaps {
			most = max(most, o.Shown+1)
		}
	}
	return least, most
}

// checkRefreshes finds refresh tokens with two successors, skipped counters, tokens of ended sessions, and refusals without a
// reason.
func checkRefreshes(ix index) (all []Violation) {
	type token struct {
		session string
		counter uint64
	}
	successors := map[token]Op{}
	opened, _ := ix.opened()
	for _, o := range ix.Ops {
		if o.Kind != Refresh {
			continue
		}
		shown := token{o.Session, o.Shown}
		first, known := successors[shown]
		switch {
		case o.Outcome == Accepted && o.Got != o.Shown+1:
			all = append(all, breach("refresh tokens", o, "the successor of token %d is %d", o.Shown, o.Got))
		case o.Outcome == Accepted && known && first.GotToken != o.GotToken && !ix.rotated():
			all = append(all, breach("refresh tokens", o, "a second successor of one token: %s", first))
		case o.Outcome == Accepted && ix.ended(opened[o.Session], o.Start):
			all = append(all, breach("refresh tokens", o, "a token of an ended session"))
		case o.Outcome == Refused && o.Status == 401 && !ix.mayBeReuse(o) && !ix.reused(o) && !ix.mayHaveEnded(opened[o.Session], o.End):
			all = append(all, breach("refresh tokens", o, "a valid token was refused"))
		}
		if o.Outcome == Accepted && !known {
			successors[shown] = o
		}
	}
	return all
}
