package user

import (
	"bytes"
	"encoding/json"
	"errors"

	"user-service/pkg/password"
)

// Registration is what a new account is made of.
type Registration struct {
	Email    string
	Password string
	Profile  Profile
}

// Login is what a user shows to log in.
type Login struct {
	Email    string
	Password string
}

// Check returns what is wrong with the form of a login. It says nothing about accounts.
func (l Login) Check() FieldErrors {
	var errs FieldErrors
	if l.Email == "" {
		errs.Add("/email", Required, "is required")
	} else if len(l.Email) > MaxEmailBytes { // no account has one, and to compare it costs more the longer it is
		errs.Add("/email", TooLarge, "must have at most 254 bytes", most(MaxEmailBytes))
	}
	if l.Password == "" {
		errs.Add("/password", Required, "is required")
	}
	checkPasswordLength("/password", l.Password, &errs)
	return errs
}

// Edit is a change of an account's writable members.
type Edit interface {
	// Check returns what can be seen to be wrong without the account.
	Check() FieldErrors
	apply(*User) error
	currentPassword() string
}

// Replacement replaces the email and the whole profile: what it leaves out is cleared.
type Replacement struct {
	Email           string
	Profile         Profile
	CurrentPassword string // needed by a user that changes its own email
}

// Check implements Edit.
func (r Replacement) Check() FieldErrors {
	var errs FieldErrors
	checkEmail(r.Email, &errs)
	r.Profile.check(&errs)
	checkPasswordLength("/current_password", r.CurrentPassword, &errs)
	return errs
}

func (r Replacement) currentPassword() string { return r.CurrentPassword }

func (r Replacement) apply(u *User) error {
	u.Email, u.Profile = r.Email, r.Profile
	return nil
}

// Patch changes some members and leaves the others alone: a JSON merge patch
// (RFC 7396). A nil member is left alone, an empty one is cleared.
type Patch struct {
	Email, Name, Picture, Locale, Zoneinfo *string
	Metadata                               json.RawMessage // nil: left alone; null: cleared; an object is merged
	CurrentPassword                        string
}

// Check implements Edit.
func (p Patch) Check() FieldErrors {
	var errs FieldErrors
	if p.Email != nil {
		checkEmail(*p.Email, &errs)
	}
	Profile{Name: deref(p.Name), Picture: deref(p.Picture), Locale: deref(p.Locale), Zoneinfo: deref(p.Zoneinfo)}.check(&errs)
	if len(p.Metadata) > maxMetadataPatch {
		errs.Add("/metadata", TooLarge, "must be at most 24576 bytes of compact JSON", most(maxMetadataPatch))
	}
	checkPasswordLength("/current_password", p.CurrentPassword, &errs)
	return errs
}

func (p Patch) currentPassword() string { return p.CurrentPassword }

func (p Patch) apply(u *User) error {
	for _, m := range []struct{ to, from *string }{
		{&u.Email, p.Email}, {&u.Name, p.Name}, {&u.Picture, p.Picture}, {&u.Locale, p.Locale}, {&u.Zoneinfo, p.Zoneinfo},
	} {
		if m.from != nil {
			*m.to = *m.from
		}
	}
	if p.Metadata == nil {
		return nil
	}
	merged, err := mergeJSON(u.Metadata, p.Metadata)
	if err != nil {
		return err
	}
	u.Metadata = merged
	var errs FieldErrors
	u.check(&errs) // only now is the size of the merged metadata known
	return errs.Err()
}

// maxMetadataPatch is enough for a patch that removes each member of the largest metadata and gives new ones.
const maxMetadataPatch = 3 * MaxMetadataBytes // bytes

// mergeJSON applies a JSON merge patch (RFC 7396 section 2). Numbers stay as they
// were written. A null patch gives nil.
func mergeJSON(target, patch json.RawMessage) (json.RawMessage, error) {
	var to, from any
	if err := errors.Join(decodeExact(target, &to), decodeExact(patch, &from)); err != nil {
		return nil, err
	}
	merged := merge(to, from)
	if merged == nil {
		return nil, nil
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(merged); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

func decodeExact(raw json.RawMessage, into *any) error {
	if len(raw) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	return dec.Decode(into)
}

// merge is the function MergePatch of RFC 7396 section 2.
func merge(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	merged, ok := target.(map[string]any)
	if !ok {
		merged = map[string]any{}
	}
	for name, value := range changes {
		if value == nil {
			delete(merged, name)
		} else {
			merged[name] = merge(merged[name], value)
		}
	}
	return merged
}

// checkPasswordLength refuses a password that no account can have.
func checkPasswordLength(pointer, pw string, errs *FieldErrors) {
	if password.IsTooLong(pw) {
		errs.Add(pointer, TooLong, "must have at most 128 characters", most(password.MaxLength))
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
