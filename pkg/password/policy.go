package password

import (
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Bounds of a password's length in characters (NIST SP 800-63B-4 section 3.1.1.2).
const (
	MinMinLength = 8   // no policy asks for less
	MaxLength    = 128 // longer ones are refused, never cut

	// maxCodePoints is the length in code points past which a password is too long whatever its normal form is: NFKC
	// composes at most four into one character (such as U+1F82), but makes up to 18 of one (U+FDFA).
	maxCodePoints = 4 * MaxLength

	// maxOwn is the longest of the user's own words that is compared, in bytes: longer ones are refused elsewhere.
	maxOwn = 1 << 10

	// maxPattern is the length up to which a repetition or a run counts as a common password. Who
	// guesses does not try longer ones first, and any text is welcome that is long.
	maxPattern = 32
)

// Policy says what a good password is: long enough, and not one that is guessed first. It
// asks for no kinds of characters (NIST SP 800-63B-4 section 3.1.1.2).
type Policy struct {
	MinLength int // in characters, after NFKC; below MinMinLength counts as MinMinLength
}

// Reason says, for programs, why a password was refused.
type Reason string

// The reasons for which Policy.Check refuses a password.
const (
	NotUTF8  Reason = "not_utf8"  // not text
	TooShort Reason = "too_short" // fewer characters than Policy.MinLength
	TooLong  Reason = "too_long"  // more characters than MaxLength
	Personal Reason = "personal"  // made of the user's own email or name
	Repeated Reason = "repeated"  // few characters, or a short piece, over and over
	Sequence Reason = "sequence"  // a run along the alphabet, the digits or the keyboard
	Common   Reason = "common"    // on the list of common passwords, or one of them repeated
)

// PolicyError is the error of a refused password.
type PolicyError struct {
	Reason Reason
	Advice string         // for people, to be read after "The password": what to do; never shows the password
	Params map[string]int // min or max, in characters
}

func (w *PolicyError) Error() string { return w.Advice }

// Check returns nil for a good password, else a *Weak. own are the user's own words, such as
// email and name; empty ones do not count.
func (p Policy) Check(password string, own ...string) error {
	if !utf8.ValidString(password) {
		return &PolicyError{Reason: NotUTF8, Advice: "must be text in UTF-8"}
	}
	if IsTooLong(password) {
		return &PolicyError{Reason: TooLong, Advice: fmt.Sprintf("must have at most %d characters", MaxLength), Params: map[string]int{"max": MaxLength}}
	}
	simple := simplify(password)
	least := max(p.MinLength, MinMinLength)
	switch length := utf8.RuneCountInString(norm.NFKC.String(password)); {
	case length < least:
		return &PolicyError{Reason: TooShort, Advice: fmt.Sprintf("must have at least %d characters", least), Params: map[string]int{"min": least}}
	case isPersonal(simple, own):
		return &PolicyError{Reason: Personal, Advice: "must not be made of your own email or name; choose another, such as four random words"}
	case length <= maxPattern && isRepeated(simple):
		return &PolicyError{Reason: Repeated, Advice: "must not repeat a few characters; choose another, such as four random words"}
	case length <= maxPattern && isSequence(simple):
		return &PolicyError{Reason: Sequence, Advice: "must not run along the alphabet, the digits or the keyboard; choose another, such as four random words"}
	case isCommon(simple):
		return &PolicyError{Reason: Common, Advice: "is one of the common passwords, which are guessed first; choose another, such as four random words"}
	}
	return nil
}

// IsTooLong reports whether a password has more than MaxLength characters. It normalizes none that can't be shorter: that
// costs much more than to read it.
func IsTooLong(password string) bool {
	return utf8.RuneCountInString(password) > maxCodePoints || utf8.RuneCountInString(norm.NFKC.String(password)) > MaxLength
}

// simplify returns the form in which passwords are compared with words: case and ways of
// writing the same character do not count.
func simplify(s string) string { return cases.Fold().String(norm.NFKC.String(s)) }
