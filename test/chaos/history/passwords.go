package history

import "slices"

// setsPassword reports whether a request sets the password of an account.
func (o Op) setsPassword() bool {
	return o.Kind == Register || o.Kind == Password || o.Kind == ConfirmReset
}

// checkPasswords finds logins with a replaced or unknown password, and refused logins with the correct one.
func checkPasswords(ix index) (all []Violation) {
	for _, o := range ix.Ops {
		if o.Kind != Login || o.User == "" || ix.Given[o.User] {
			continue
		}
		current := ix.current(o)
		switch {
		case o.Outcome == Accepted && !slices.Contains(current, o.Want.Password):
			all = append(all, breach("passwords", o, "a password that is not the current one (%q)", current))
		case o.Outcome == Refused && o.Status == 401 && len(current) == 1 && current[0] == o.Want.Password && ix.surelyActive(o):
			all = append(all, breach("passwords", o, "the correct password was refused"))
		}
	}
	return all
}

// current returns the possible passwords of an account during a request. Each was set before the end of the request, and no
// accepted change replaced it before the start.
func (ix index) current(o Op) (all []string) {
	writes := ix.users[o.User]
	for _, w := range writes {
		if !w.setsPassword() || w.Outcome == Refused || w.Start > o.End {
			continue
		}
		replaced := slices.ContainsFunc(writes, func(x Op) bool {
			return x.setsPassword() && x.Outcome == Accepted && w.Outcome == Accepted && w.before(x) && x.before(o)
		})
		if !replaced && !slices.Contains(all, w.Want.Password) {
			all = append(all, w.Want.Password)
		}
	}
	return all
}

// surelyActive reports whether no request before the end of o can have disabled or erased the account.
func (ix index) surelyActive(o Op) bool {
	return !slices.ContainsFunc(ix.users[o.User], func(p Op) bool {
		if p.Outcome == Refused || p.Start > o.End || p.Kind != Erase && (p.Kind != Status || p.Want.Status == "active") {
			return false
		}
		return p.Kind == Erase || p.Outcome == Perhaps || !ix.enabledSince(p, o)
	})
}

// enabledSince reports whether an accepted request activated the account after p and before o.
func (ix index) enabledSince(p, o Op) bool {
	return slices.ContainsFunc(ix.users[o.User], func(q Op) bool {
		return q.Kind == Status && q.Want.Status == "active" && q.Outcome == Accepted && p.before(q) && q.before(o)
	})
}
