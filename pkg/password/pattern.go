package password

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// isRepeated reports whether a password has few distinct characters, or repeats a text with fewer than MinLengthFloor characters.
// Punctuation and spaces between the repetitions do not matter.
func isRepeated(simple string) bool {
	const minDistinct = 5
	distinct := map[rune]struct{}{}
	for _, r := range simple {
		distinct[r] = struct{}{}
	}
	return len(distinct) < minDistinct || hasShortUnit(simple) || hasShortUnit(lettersAndDigits(simple))
}

func hasShortUnit(s string) bool {
	unit := shortestUnit(s)
	return unit != "" && utf8.RuneCountInString(unit) < MinLengthFloor
}

// shortestUnit returns the shortest string whose repetition gives s, or "". s must contain the string at least twice; the last repetition
// may be incomplete.
func shortestUnit(s string) string {
	for n := range s {
		if n > 0 && 2*n <= len(s) && strings.HasPrefix(s, s[n:]) {
			return s[:n]
		}
	}
	return ""
}

// rows are the digits, alphabets, and the rows and columns of keyboards of several countries.
var rows = []string{
	"01234567890", "abcdefghijklmnopqrstuvwxyz", "абвгдеёжзийклмнопрстуфхцчшщъыьэюя", "!@#$%^&*()_+",
	"qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./",
	"qwertzuiopü", "asdfghjklöä", "yxcvbnm",
	"azertyuiop", "qsdfghjklm", "wxcvbn",
	"йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю",
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "1q2w3e4r5t6y7u8i9o0p", "qawsedrftgyhujikolp",
}

// sequences joins the rows in both directions. The separator is a byte that valid UTF-8 does not contain.
var sequences = func() string {
	var out strings.Builder
	for _, row := range rows {
		reversed := []rune(row)
		slices.Reverse(reversed)
		out.WriteString(row + "\xff" + string(reversed) + "\xff")
	}
	return out.String()
}()

// isSequence reports whether a password consists of runs along the rows and at most a few other characters.
func isSequence(simple string) bool {
	const maxOther = 3
	other := 0
	for rest := simple; rest != "" && other <= maxOther; {
		n := runLength(rest)
		if n == 0 {
			_, n = utf8.DecodeRuneInString(rest)
			other++
		}
		rest = rest[n:]
	}
	return other <= maxOther
}

// runLength returns the length in bytes of the run along a row at the beginning of s. A run has at least three characters; without one,
// the length is 0.
func runLength(s string) int {
	const minRun = 3
	length, characters := 0, 0
	for i, r := range s {
		end := i + utf8.RuneLen(r)
		if !strings.Contains(sequences, s[:end]) {
			break
		}
		length = end
		characters++
	}
	if characters < minRun {
		return 0
	}
	return length
}

// isPersonal reports whether a password consists of one of the user's own words: an email, its local part, or a name. It ignores case and
// punctuation. If the word has at least four characters, it also finds repetitions of the word, and digits after the word.
func isPersonal(simple string, personal []string) bool {
	letters := lettersAndDigits(simple)
	for _, word := range personal {
		if len(word) > maxPersonalBytes {
			continue
		}
		word = Simplify(word)
		local, _, _ := strings.Cut(word, "@")
		if consistsOf(letters, lettersAndDigits(word)) || consistsOf(letters, lettersAndDigits(local)) {
			return true
		}
	}
	return false
}

func consistsOf(letters, word string) bool {
	const minDecorated = 4
	if utf8.RuneCountInString(word) < minDecorated {
		return word != "" && letters == word
	}
	rest := letters
	for strings.HasPrefix(rest, word) {
		rest = rest[len(word):]
	}
	return rest != letters && strings.TrimLeftFunc(rest, unicode.IsDigit) == ""
}

func lettersAndDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) {
			return r
		}
		return -1
	}, s)
}
