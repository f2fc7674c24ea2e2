package password

import (
	_ "embed"
	"strings"
	"sync"
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

// isCommon reports whether a password is on the list, or one that is on it repeated, with or
// without something between.
func isCommon(simple string) bool {
	return isListed(simple) || isListed(unitOf(simple)) || isListed(unitOf(lettersAndDigits(simple)))
}
