package user

import (
	"bytes"
	"encoding/json"
	"slices"
)

// diff returns the names of the members that differ between two states of an
// account, sorted, and the former values of those that had one.
func diff(old, u User) (changed []string, previous map[string]any) {
	previous = map[string]any{}
	note := func(name string, differs, had bool, value any) {
		if !differs {
			return
		}
		changed = append(changed, name)
		if had {
			previous[name] = value
		}
	}
	text := func(name, before, after string) { note(name, before != after, before != "", before) }

	text("email", old.Email, u.Email)
	note("email_verified", old.EmailVerified != u.EmailVerified, true, old.EmailVerified)
	text("locale", old.Locale, u.Locale)
	note("metadata", !sameJSON(old.Metadata, u.Metadata), old.Metadata != nil, old.Metadata)
	text("name", old.Name, u.Name)
	text("picture", old.Picture, u.Picture)
	note("roles", !slices.Equal(old.Roles, u.Roles), true, old.Roles)
	text("status", string(old.Status), string(u.Status))
	text("zoneinfo", old.Zoneinfo, u.Zoneinfo)
	return changed, previous
}

// sameJSON compares two JSON values whatever the order of their members. Numbers
// are the same only if they are written the same.
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
