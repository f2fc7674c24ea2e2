package main

import (
	_ "embed"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"user-service/pkg/password"
)

const (
	topWords   = 150 // The number of most frequent words that are combined.
	minWord    = 4   // The minimum number of letters of such a word.
	longLength = 15  // The default policy: combined words must have this length.
	maxOther   = 3   // The maximum number of spaces and punctuation marks, which the list omits.
	firstYear  = 2000
	lastYear   = 2030
)

//go:embed phrases.txt
var phrasesText string

//go:embed sayings.txt
var sayingsText string

// phrases returns words and phrases that the source lists lack, or do not rank among the most frequent. sayings.txt has them in normal
// spelling. The result contains only letters and digits, as package password compares them.
func phrases() []string {
	out := strings.Fields(phrasesText)
	for line := range strings.Lines(sayingsText) {
		if phrase := lettersAndDigits(password.Simplify(line)); !strings.HasPrefix(line, "#") && phrase != "" {
			out = append(out, phrase)
		}
	}
	return out
}

func lettersAndDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, s)
}

// compile returns a sorted list without duplicates: the words, the phrases, their combinations, and the passwords of seasons. The
// parameter words must be sorted by frequency, the most frequent word first.
func compile(words, phrases []string) []string {
	top := frequent(words)
	all := slices.Concat(words, phrases, seasons(), pairs(top), lengthened(phrases), lengthened(top), lengthened(twice(top)))
	all = slices.DeleteFunc(all, isNeedless)
	slices.Sort(all)
	return slices.Compact(all)
}

// isNeedless reports whether another rule already refuses a word.
func isNeedless(word string) bool {
	weak, found := errors.AsType[*password.PolicyError](password.Policy{MinLength: password.MinLengthFloor}.Check(word))
	return found && weak.Reason != password.Common
}

// frequent returns the first words that consist of letters only.
func frequent(words []string) []string {
	var out []string
	for _, word := range words {
		other := strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsLetter(r) })
		if !other && utf8.RuneCountInString(word) >= minWord {
			out = append(out, word)
		}
		if len(out) == topWords {
			break
		}
	}
	return out
}

// pairs returns the combinations of two words that are long enough.
func pairs(words []string) []string {
	var out []string
	for _, a := range words {
		for _, b := range words {
			out = append(out, a+b)
		}
	}
	return slices.DeleteFunc(out, isShort)
}

func twice(words []string) []string {
	out := make([]string, len(words))
	for i, word := range words {
		out[i] = word + word
	}
	return out
}

// seasons returns common passwords with a season and a year, which people use when they must change a password.
func seasons() []string {
	var out []string
	const names = "spring summer autumn fall winter january february march april may june " +
		"july august september october november december"
	for _, season := range strings.Fields(names) {
		for year := firstYear; year <= lastYear; year++ {
			dated := season + strconv.Itoa(year)
			out = append(out, dated, dated+season, strconv.Itoa(year)+season)
		}
	}
	return out
}

// lengthened appends each ending to each word that is too short, and returns the results that are long enough. Package password handles
// digits after longer words.
func lengthened(words []string) []string {
	var out []string
	for _, end := range endings() {
		for _, word := range words {
			if utf8.RuneCountInString(word) < longLength {
				out = append(out, word+end)
			}
		}
	}
	return slices.DeleteFunc(out, isShort)
}

func isShort(word string) bool { return utf8.RuneCountInString(word) < longLength-maxOther }

// endings returns common endings of words that are too short.
func endings() []string {
	var out []string
	for n := range len("1234567890") {
		out = append(out, "1234567890"[:n+1])
	}
	for year := firstYear; year <= lastYear; year++ {
		out = append(out, strconv.Itoa(year))
	}
	return out
}
