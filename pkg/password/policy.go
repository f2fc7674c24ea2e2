package password

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Bounds of a password's length in characters (NIST SP 800-63B-4 section 3.1.1.2).
const (
	MinLengthFloor = 8   // the smallest effective Policy.MinLength
	MaxLength      = 128 // longer passwords are refused, never truncated

	// maxCodePoints is a number of code points. A password with more is too long in any normal form. NFKC composes at most four code
	// points into one (such as U+1F82), and expands one into at most 18 (U+FDFA).
	maxCodePoints = 4 * MaxLength

	// maxPersonalBytes is the length up to which the user's own words are compared with the password. Longer words are refused
	// elsewhere.
	maxPersonalBytes = 1 << 10

	// maxPattern is the longest repetition or run that is refused, in characters. Attackers do not try longer ones first.
	maxPattern = 32
)

// Policy decides which new passwords are accepted. It requires a minimal length and refuses passwords that attackers try first. It has
// no rules about kinds of characters (NIST SP 800-63B-4 section 3.1.1.2).
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
	Personal Reason = "personal"  // Consists of the user's email or name.
	Repeated Reason = "repeated"  // Repeats a few characters or a short text.
	Sequence Reason = "sequence"  // A run along the alphabet, the digits or the keyboard.
	Common   Reason = "common"    // On the list of common passwords, or repeats one of them.
)

// PolicyError is the error of a refused password.
type PolicyError struct {
	Reason Reason
	Advice string         // for people; can follow "The password", and does not contain the password
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

// Simplify returns the form in which passwords and words are compared. It ignores case and different encodings of a character. It
// converts to upper case first, because cases.Fold exchanges the cases of Cherokee.
func Simplify(s string) string { return cases.Fold().String(strings.ToUpper(norm.NFKC.String(s))) }
