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
	topWords   = 150 // how many of the most frequent words are put together
	minWord    = 4   // letters that such a word has at least
	longLength = 15  // the default policy: what is put together has to reach it
	maxOther   = 3   // characters that the list leaves out and that help to reach it: spaces and punctuation
	firstYear  = 2000
	lastYear   = 2030
)

//go:embed phrases.txt
var phrasesText string

//go:embed sayings.txt
var sayingsText string

// phrases returns the words and phrases that no list has, or not high enough. Those of sayings.txt are written as one
// writes them, and are put on the list as package password looks for them: letters and digits.
func phrases() []string {
	out := strings.Fields(phrasesText)
	for line := range strings.Lines(sayingsText) {
		if phrase := lettersAndDigits(simplify(line)); !strings.HasPrefix(line, "#") && phrase != "" {
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

// compile returns the list that is made of these words, the most frequent first, and
// phrases: sorted, each once.
func compile(words, phrases []string) []string {
	top := frequent(words)
	all := slices.Concat(words, phrases, seasons(), pairs(top), lengthened(phrases), lengthened(top), lengthened(twice(top)))
	all = slices.DeleteFunc(all, isNeedless)
	slices.Sort(all)
	return slices.Compact(all)
}

// isNeedless reports whether a word is refused by another rule than the list.
func isNeedless(word string) bool {
	weak, found := errors.AsType[*password.PolicyError](password.Policy{MinLength: password.MinLengthFloor}.Check(word))
	return found && weak.Reason != password.Common
}

// frequent returns the first of the words that are made of letters only.
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

// pairs puts each two of the words together, as far as they are long enough then.
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

// seasons returns what people make of the time of the year, which they do when they have to change a password.
func seasons() []string {
	var out []string
	for _, season := range strings.Fields("spring summer autumn fall winter january february march april may june july august september october november december") {
		for year := firstYear; year <= lastYear; year++ {
			dated := season + strconv.Itoa(year)
			out = append(out, dated, dated+season, strconv.Itoa(year)+season)
		}
	}
	return out
}

// lengthened puts an ending behind each of the words that are not long enough, as far as they are then. Digits behind the others
// are seen by package password.
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

// endings returns what people put behind a word that is too short.
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
