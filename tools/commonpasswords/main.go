// Command commonpasswords makes pkg/password/common.txt: the passwords that are tried
// first, from lists of passwords by frequency.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

const usage = `Usage: commonpasswords LIST... > pkg/password/common.txt

Each LIST is a file with one password on a line, the most frequent first; lines
that begin with "#!" are comments. Only passwords that are long enough for the
weakest policy are kept. As people make a frequent password longer when they have
to, the most frequent words are also put together with each other and with digits.

Example:
  go run ./tools/commonpasswords zxcvbn.txt password.lst > pkg/password/common.txt
`

const (
	minLength  = 8  // password.MinMinLength
	longLength = 15 // the default policy: what combinations have to reach
	topWords   = 150
)

var endings = []string{
	"1", "12", "123", "1234", "12345", "123456", "1234567", "12345678", "123456789", "!", "123!", "1234!", "2023", "2024",
	"2025", "2026", "2024!", "2025!", "2026!",
}

func main() {
	flag.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Args(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "commonpasswords:", err)
		os.Exit(1)
	}
}

func run(files []string, out io.Writer) error {
	var all, top []string
	for _, file := range files {
		words, err := read(file)
		if err != nil {
			return err
		}
		all = append(all, words...)
		letters := slices.DeleteFunc(slices.Clone(words), func(w string) bool {
			return utf8.RuneCountInString(w) < 6 || strings.ContainsFunc(w, func(r rune) bool { return !unicode.IsLetter(r) })
		})
		top = append(top, letters[:min(topWords, len(letters))]...)
	}
	all = append(all, combine(top)...)
	all = slices.DeleteFunc(all, func(w string) bool { return utf8.RuneCountInString(w) < minLength || w[0] == '#' })
	slices.Sort(all)
	buffered := bufio.NewWriter(out)
	for _, w := range slices.Compact(all) {
		if _, err := fmt.Fprintln(buffered, w); err != nil {
			return fmt.Errorf("write the list: %w", err)
		}
	}
	return buffered.Flush()
}

func read(file string) (words []string, err error) {
	f, err := os.Open(file) //nolint:gosec // the file that the user names
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if word := lines.Text(); word != "" && !strings.HasPrefix(word, "#!") && utf8.ValidString(word) {
			words = append(words, cases.Fold().String(norm.NFKC.String(word)))
		}
	}
	return words, lines.Err()
}

// combine puts the words together with each other and with endings, to what is just long
// enough for the default policy.
func combine(words []string) []string {
	var out []string
	add := func(parts ...string) {
		if s := strings.Join(parts, ""); utf8.RuneCountInString(s) >= longLength {
			out = append(out, s)
		}
	}
	for _, a := range words {
		for _, b := range words {
			add(a, b)
			add(a, " ", b)
		}
		for _, ending := range endings {
			add(a, ending)
			add(a, a, ending)
		}
	}
	return out
}
