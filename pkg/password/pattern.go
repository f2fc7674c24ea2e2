package password

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// isRepeated reports whether a password has few different characters, or is a piece shorter
// than any password may be, over and over, with or without something between.
func isRepeated(simple string) bool {
	const minDifferent = 5
	different := map[rune]struct{}{}
	for _, r := range simple {
		different[r] = struct{}{}
	}
	return len(different) < minDifferent || hasShortUnit(simple) || hasShortUnit(lettersAndDigits(simple))
}

func hasShortUnit(s string) bool {
	unit := unitOf(s)
	return unit != "" && utf8.RuneCountInString(unit) < MinMinLength
}

// unitOf returns the shortest string that s repeats at least twice, the last time perhaps
// cut, or "" if there is none.
func unitOf(s string) string {
	for n := range s {
		if n > 0 && 2*n <= len(s) && strings.HasPrefix(s, s[n:]) {
			return s[:n]
		}
	}
	return ""
}

// rows are what fingers run along: digits, alphabets, the keyboards of several countries
// by rows and by columns.
var rows = []string{
	"01234567890", "abcdefghijklmnopqrstuvwxyz", "абвгдеёжзийклмнопрстуфхцчшщъыьэюя", "!@#$%^&*()_+",
	"qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./",
	"qwertzuiopü", "asdfghjklöä", "yxcvbnm",
	"azertyuiop", "qsdfghjklm", "wxcvbn",
	"йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю",
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "1q2w3e4r5t6y7u8i9o0p", "qawsedrftgyhujikolp",
}

// sequences holds the rows in both directions, one after the other, with a byte between
// them that no text has.
var sequences = func() string {
	var out strings.Builder
	for _, row := range rows {
		back := []rune(row)
		slices.Reverse(back)
		out.WriteString(row + "\xff" + string(back) + "\xff")
	}
	return out.String()
}()

// isSequence reports whether a password is made of runs along the rows, with at most a few
// other characters.
func isSequence(simple string) bool {
	const maxOther = 3
	other := 0
	for rest := simple; rest != "" && other <= maxOther; {
		n := runOf(rest)
		if n == 0 {
			_, n = utf8.DecodeRuneInString(rest)
			other++
		}
		rest = rest[n:]
	}
	return other <= maxOther
}

// runOf returns how many bytes at the beginning of s run along a row, or 0 if they are fewer
// than three characters.
func runOf(s string) int {
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

// isPersonal reports whether a password is one of the user's own words: an email, the part
// before its @, or a name; whatever the case and the punctuation. Words of at least four
// letters may not be repeated or followed by digits either.
func isPersonal(simple string, own []string) bool {
	letters := lettersAndDigits(simple)
	for _, word := range own {
		if len(word) > maxOwn {
			continue
		}
		word = simplify(word)
		local, _, _ := strings.Cut(word, "@")
		if isMadeOf(letters, lettersAndDigits(word)) || isMadeOf(letters, lettersAndDigits(local)) {
			return true
		}
	}
	return false
}

func isMadeOf(letters, word string) bool {
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
