package password

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Limits of the length of a password in characters (NIST SP 800-63B-4 section 3.1.1.2).
const (
	MinLengthFloor = 8   // applies if Policy.MinLength is smaller
	MaxLength      = 128 // longer passwords are refused, never truncated

	// maxCodePoints is the maximum number of code points: a password with more code points is too long in any normal form. NFKC composes
	// at most four code points into one (for example U+1F82), and expands one code point into at most 18 (U+FDFA).
	maxCodePoints = 4 * MaxLength

	// maxPersonalBytes is the maximum length of the user's own words that are compared with the password. Other checks refuse longer
	// words.
	maxPersonalBytes = 1 << 10

	// maxPattern is the maximum length of a password that is refused as a repetition or a sequence, in characters. Attackers do not try
	// longer passwords of this kind first.
	maxPattern = 32
)

// Policy decides which new passwords are accepted. It requires a minimum length and refuses passwords that attackers try first. It has no
// rules about kinds of characters (NIST SP 800-63B-4 section 3.1.1.2).
type Policy struct {
	MinLength int // in characters after NFKC; at least MinLengthFloor applies
}

// Reason is the machine-readable reason of a refusal.
type Reason string

// The reasons for which Policy.Check refuses a password.
const (
	NotUTF8  Reason = "not_utf8"  // Invalid UTF-8.
	TooShort Reason = "too_short" // Fewer characters than Policy.MinLength.
	TooLong  Reason = "too_long"  // More characters than MaxLength.
	Personal Reason = "personal"  // Consists of the email or the name of the user.
	Repeated Reason = "repeated"  // Repeats a few characters or a short text.
	Sequence Reason = "sequence"  // A run along the alphabet, the digits or the keyboard.
	Common   Reason = "common"    // Is on the list of common passwords, or repeats a listed password.
)

// PolicyError is the error of a refused password.
type PolicyError struct {
	Reason Reason
	Advice string         // a text for people that can follow "The password"; does not contain the password
	Params map[string]int // min or max, in characters
}

func (e *PolicyError) Error() string { return e.Advice }

// Check returns nil if the password is accepted. personal are the user's own words, such as email and name. Errors: *PolicyError.
func (p Policy) Check(password string, personal ...string) error {
	if !utf8.ValidString(password) {
		return &PolicyError{Reason: NotUTF8, Advice: "must be text in UTF-8"}
	}
	if IsTooLong(password) {
		advice := fmt.Sprintf("must have at most %d characters", MaxLength)
		return &PolicyError{Reason: TooLong, Advice: advice, Params: map[string]int{"max": MaxLength}}
	}
	simple := Simplify(password)
	minLength := p.EffectiveMinLength()
	const another = "; choose another, such as four random words"
	switch length := utf8.RuneCountInString(norm.NFKC.String(password)); {
	case length < minLength:
		advice := fmt.Sprintf("must have at least %d characters", minLength)
		return &PolicyError{Reason: TooShort, Advice: advice, Params: map[string]int{"min": minLength}}
	case isPersonal(simple, personal):
		return &PolicyError{Reason: Personal, Advice: "must not consist of your own email or name" + another}
	case length <= maxPattern && isRepeated(simple):
		return &PolicyError{Reason: Repeated, Advice: "must not repeat a few characters" + another}
	case length <= maxPattern && isSequence(simple):
		return &PolicyError{Reason: Sequence, Advice: "must not run along the alphabet, the digits or the keyboard" + another}
	case isCommon(simple):
		return &PolicyError{Reason: Common, Advice: "is one of the common passwords, which attackers try first" + another}
	}
	return nil
}

// EffectiveMinLength returns the minimum number of characters that Check requires.
func (p Policy) EffectiveMinLength() int { return max(p.MinLength, MinLengthFloor) }

// IsTooLong reports whether a password has more than MaxLength characters. It does not normalize a password that is certainly too
// long, because normalizing costs much more than counting.
func IsTooLong(password string) bool {
	return utf8.RuneCountInString(password) > maxCodePoints || utf8.RuneCountInString(norm.NFKC.String(password)) > MaxLength
}

// Simplify returns the form in which passwords and words are compared. This form is the same for upper and lower case, and for different
// encodings of a character. Simplify converts to upper case first, because cases.Fold exchanges the cases of Cherokee.
func Simplify(s string) string { return cases.Fold().String(strings.ToUpper(norm.NFKC.String(s))) }
