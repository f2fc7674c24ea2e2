package password

import (
	_ "embed"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// tools/commonpasswords generates common.txt. Its lines are sorted; each line has one password in the form that Simplify returns. NOTICE
// names the sources.
//
//go:embed common.txt
var commonText string

var commonSet = sync.OnceValue(func() map[string]struct{} {
	set := make(map[string]struct{}, strings.Count(commonText, "\n"))
	for line := range strings.Lines(commonText) {
		set[strings.TrimSuffix(line, "\n")] = struct{}{}
	}
	return set
})

func isListed(simple string) bool {
	_, listed := commonSet()[simple]
	return listed
}

// longPhrase is a length in characters. Digits after a listed phrase of at least this length do not make it stronger.
const longPhrase = 15

// isCommon reports whether a password is on the list, or repeats a listed password. It ignores spaces and punctuation, because the list
// contains phrases without them. It also ignores digits after a long phrase.
func isCommon(simple string) bool {
	letters := lettersAndDigits(simple)
	phrase := strings.TrimRightFunc(letters, unicode.IsDigit)
	return isListed(simple) || isListed(letters) || isListed(shortestUnit(simple)) || isListed(shortestUnit(letters)) ||
		utf8.RuneCountInString(phrase) >= longPhrase && isListed(phrase)
}
