package password

import (
	_ "embed"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// common.txt is made by tools/commonpasswords: one password on a line, in the form of
// simplify, sorted. NOTICE says where the passwords come from.
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

// longPhrase is from how many characters on a phrase is not made a better one by digits behind it.
const longPhrase = 15

// isCommon reports whether a password is on the list, or one that is on it repeated. Spaces and
// punctuation don't count: phrases are listed without. Nor do digits behind a long one.
func isCommon(simple string) bool {
	letters := lettersAndDigits(simple)
	phrase := strings.TrimRightFunc(letters, unicode.IsDigit)
	return isListed(simple) || isListed(letters) || isListed(unitOf(simple)) || isListed(unitOf(letters)) ||
		utf8.RuneCountInString(phrase) >= longPhrase && isListed(phrase)
}
