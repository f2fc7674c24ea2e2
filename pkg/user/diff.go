package user

import (
	"bytes"
	"encoding/json"
	"slices"
)

// diff returns the sorted names of the fields that differ between two states of an account. previous has the old values of these fields,
// except empty values.
func diff(old, u User) (changed []string, previous map[string]any) {
	previous = map[string]any{}
	add := func(name string, differs, had bool, value any) {
		if !differs {
			return
		}
		changed = append(changed, name)
		if had {
			previous[name] = value
		}
	}
	text := func(name, before, after string) { add(name, before != after, before != "", before) }

	text("email", old.Email, u.Email)
	add("email_verified", old.EmailVerified != u.EmailVerified, true, old.EmailVerified)
	add("roles", !slices.Equal(old.Roles, u.Roles), true, old.Roles)
	text("status", string(old.Status), string(u.Status))
	for _, f := range ProfileFields {
		switch before := f.In(&old.Profile).(type) {
		case *string:
			text(f.Name, *before, f.text(&u.Profile))
		case *json.RawMessage:
			after := f.In(&u.Profile).(*json.RawMessage)
			add(f.Name, !sameJSON(*before, *after), *before != nil, *before)
		}
	}
	slices.Sort(changed)
	return changed, previous
}

// sameJSON reports whether two JSON values are equal. The order of members does not matter. Numbers are equal only if they are written in
// the same way.
func sameJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	if a == nil || b == nil || decodeExact(a, &x) != nil || decodeExact(b, &y) != nil {
		return false
	}
	canonicalA, errA := json.Marshal(x)
	canonicalB, errB := json.Marshal(y)
	return errA == nil && errB == nil && bytes.Equal(canonicalA, canonicalB)
}
