package user

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"user-service/pkg/password"
)

// Registration is the input for a new account.
type Registration struct {
	Email    string
	Password string
	Profile  Profile

	Idempotency *Idempotency // nil: the request has no idempotency key
}

// Login is the input of a login.
type Login struct {
	Email    string
	Password string
}

// Check returns what is wrong with the form of a login. It reveals nothing about accounts.
func (l Login) Check() FieldErrors {
	var errs FieldErrors
	if l.Email == "" {
		errs.Add("/email", Required, "is required")
	} else if len(l.Email) > MaxEmailBytes { // no account has such an email, and its key would be expensive to compute
		errs.Add("/email", TooLarge, fmt.Sprintf("must have at most %d bytes", MaxEmailBytes), most(MaxEmailBytes))
	}
	if l.Password == "" {
		errs.Add("/password", Required, "is required")
	}
	checkPasswordLength("/password", l.Password, &errs)
	return errs
}

// Edit is a change of the writable fields of an account.
type Edit interface {
	// Check returns what is wrong with the edit. It finds the errors that can be found without the account.
	Check() FieldErrors
	apply(*User) error
	currentPassword() string
}

// Replacement replaces the email and the whole profile. An omitted field is cleared.
type Replacement struct {
	Email           string
	Profile         Profile
	CurrentPassword string // required of users who change their own email
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

// Patch changes some fields and keeps the others: a JSON merge patch (RFC 7396).
type Patch struct {
	Email           *string // nil keeps the email
	Profile         ProfilePatch
	CurrentPassword string
}

// ProfilePatch maps the names of profile fields to their changes. The change of a text field is its new text; an empty text clears the
// field. The change of a JSON object is a JSON merge patch; null clears the field.
type ProfilePatch map[string]string

// Check implements Edit.
func (p Patch) Check() FieldErrors {
	var errs FieldErrors
	if p.Email != nil {
		checkEmail(*p.Email, &errs)
	}
	for _, f := range ProfileFields {
		change := p.Profile[f.Name]
		if _, isText := f.In(&Profile{}).(*string); !isText {
			checkMetadataSize(f.Pointer(), change, maxMetadataPatch, &errs)
		} else if change != "" {
			f.check(f.Pointer(), change, &errs)
		}
	}
	checkPasswordLength("/current_password", p.CurrentPassword, &errs)
	return errs
}

func (p Patch) currentPassword() string { return p.CurrentPassword }

func (p Patch) apply(u *User) error {
	if p.Email != nil {
		u.Email = *p.Email
	}
	merges := false
	for _, f := range ProfileFields {
		change, given := p.Profile[f.Name]
		if !given {
			continue
		}
		switch value := f.In(&u.Profile).(type) {
		case *string:
			*value = change
		case *json.RawMessage:
			merged, err := mergeJSON(*value, json.RawMessage(change))
			if err != nil {
				return err
			}
			*value, merges = merged, true
		}
	}
	if !merges {
		return nil
	}
	var errs FieldErrors
	u.check(&errs) // the size of a merged object is known only now
	return errs.Err()
}

// maxMetadataPatch is the maximum size of a patch of metadata, in bytes. It allows a patch that removes every member of the largest
// metadata and adds new members up to the same size.
const maxMetadataPatch = 3 * MaxMetadataBytes

// mergeJSON applies a JSON merge patch (RFC 7396 section 2). Numbers stay as they were written. The patch null returns nil.
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

// merge implements the function MergePatch of RFC 7396 section 2.
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

// checkPasswordLength refuses a password that is longer than the password of any account.
func checkPasswordLength(pointer, pw string, errs *FieldErrors) {
	if password.IsTooLong(pw) {
		errs.Add(pointer, TooLong, fmt.Sprintf("must have at most %d characters", password.MaxLength), most(password.MaxLength))
	}
}
