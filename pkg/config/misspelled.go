package config

import (
	"slices"
	"strings"
)

// maxEdits is the maximum edit distance between an unknown name and a known one at which the unknown name counts as misspelled.
const maxEdits = 2

// foreign are variables of other programs whose names are similar to a name of the service. AMQP_URL is a setting of consumers.
var foreign = []string{"AMQP_URL"}

// Misspelled returns a problem for each unknown variable of environ whose name differs by at most maxEdits letters from the name of a known
// variable. environ has the form of os.Environ. Misspelled ignores empty variables. The problems contain no values.
func Misspelled(environ []string) []Problem {
	known := names(Describe(&Config{}))
	var found []Problem
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if value == "" || slices.Contains(known, name) || slices.Contains(foreign, name) {
			continue
		}
		if i := slices.IndexFunc(known, func(k string) bool { return editDistance(name, k) <= maxEdits }); i >= 0 {
			found = append(found, Problem{name, "is not a variable of the service", "write " + known[i] + ", or remove it"})
		}
	}
	slices.SortFunc(found, func(a, b Problem) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// names returns the names of the variables, including those for their files.
func names(vars []Variable) []string {
	var all []string
	for _, v := range vars {
		all = append(all, v.Name)
		if v.File {
			all = append(all, v.FileName())
		}
	}
	return all
}

// editDistance returns the Levenshtein distance of two names.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
