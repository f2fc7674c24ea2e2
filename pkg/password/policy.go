package password

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Bounds of a password's length in characters (NIST SP 800-63B-4 section 3.1.1.2).
const (
	MinMinLength = 8   // no policy may ask for less
	MaxLength    = 128 // longer ones are refused, never cut
)

// Policy says what a good password is: long enough, and not one that is tried first. It
// asks for no kinds of characters (NIST SP 800-63B-4 section 3.1.1.2).
type Policy struct {
	MinLength int // characters after NFKC
}

//go:embed common.txt
var commonList string

// common holds the passwords that are tried first, in the form of simplify.
var common = sync.OnceValue(func() map[string]struct{} {
	set := make(map[string]struct{}, 1<<15)
	for line := range strings.Lines(commonList) {
		if word := strings.TrimSuffix(line, "\n"); word != "" && word[0] != '#' {
			set[word] = struct{}{}
		}
	}
	return set
})

// sequences are what fingers run along. A password that is part of one is common.
var sequences = []string{
	strings.Repeat("1234567890", 14), strings.Repeat("0123456789", 14), strings.Repeat("abcdefghijklmnopqrstuvwxyz", 6),
	strings.Repeat("qwertyuiopasdfghjklzxcvbnm", 6), strings.Repeat("qwertzuiopasdfghjklyxcvbnm", 6),
	strings.Repeat("1234567890qwertyuiopasdfghjklzxcvbnm", 4), strings.Repeat("1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/", 4),
	strings.Repeat("1q2w3e4r5t6y7u8i9o0p", 7),
}

// Check returns nil for a good password, else an error that says what to do and does
// not show the password. own are the user's own words, such as email and name.
func (p Policy) Check(password string, own ...string) error {
	if !utf8.ValidString(password) {
		return errors.New("must be valid UTF-8")
	}
	normal := norm.NFKC.String(password)
	switch length := utf8.RuneCountInString(normal); {
	case length < p.MinLength:
		return fmt.Errorf("must have at least %d characters", p.MinLength)
	case length > MaxLength:
		return fmt.Errorf("must have at most %d characters", MaxLength)
	}
	simple := simplify(normal)
	if isCommon(simple) {
		return errors.New("is a common password, which is guessed first; choose another, such as four random words")
	}
	for _, word := range own {
		if isOwn(simple, word) {
			return errors.New("must not be made of your own email or name")
		}
	}
	return nil
}

// simplify is the form in which passwords are compared with words: case does not count.
func simplify(s string) string { return cases.Fold().String(norm.NFKC.String(s)) }

func isCommon(simple string) bool {
	unit := unitOf(simple)
	if _, ok := common()[unit]; ok || utf8.RuneCountInString(unit) <= 4 {
		return true
	}
	if _, ok := common()[simple]; ok {
		return true
	}
	for _, sequence := range sequences {
		if strings.Contains(sequence, simple) || strings.Contains(sequence, reverse(simple)) {
			return true
		}
	}
	return false
}

// unitOf returns the shortest string of whose repetition s is made, perhaps cut at the end.
func unitOf(s string) string {
	for n := range s {
		if n > 0 && n <= len(s)/2 && strings.HasPrefix(strings.Repeat(s[:n], len(s)/n+1), s) {
			return s[:n]
		}
	}
	return s
}

// isOwn reports whether a password is one of the user's own words: an email, the part before
// its @, or a name, whatever the punctuation, perhaps repeated or with digits at its end.
func isOwn(simple, word string) bool {
	word = simplify(word)
	local, _, _ := strings.Cut(word, "@")
	letters := lettersAndDigits(simple)
	for _, w := range []string{lettersAndDigits(word), lettersAndDigits(local)} {
		if utf8.RuneCountInString(w) < 4 {
			if letters == w && w != "" {
				return true
			}
			continue
		}
		if strings.TrimRightFunc(strings.ReplaceAll(letters, w, ""), unicode.IsDigit) == "" {
			return true
		}
	}
	return false
}

func lettersAndDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) {
			return r
		}
		return -1
	}, s)
}

func reverse(s string) string {
	runes := []rune(s)
	for i, j := 0, len(runes)-1; i < j; i, j = i+1, j-1 {
		runes[i], runes[j] = runes[j], runes[i]
	}
	return string(runes)
}
