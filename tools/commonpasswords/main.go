// Command commonpasswords writes pkg/password/common.txt: the passwords that attackers try first, from lists of passwords by
// frequency.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

const usage = `Usage: commonpasswords LIST... > common.txt

Makes the list of common passwords that package password refuses, and prints it.

Each LIST is a file of passwords, the most frequent first: a JSON array of strings if
its name ends in .json, else one on a line. People who have to make a password longer
put two words together, or digits or a year behind one: the same is done to the most
frequent words, and the latter to the phrases of phrases.txt and sayings.txt, which are on the list too.
What the other rules of package password refuse anyway is left out.

pkg/password/NOTICE says which lists common.txt is made from. To make it again:
  npm pack @zxcvbn-ts/language-common@4.1.3
  tar xzf zxcvbn-ts-language-common-4.1.3.tgz package/src/passwords.json
  go run ./tools/commonpasswords package/src/passwords.json > pkg/password/common.txt
`

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

// run writes the list that results from these files to out.
func run(files []string, out io.Writer) error {
	var words []string
	for _, file := range files {
		list, err := read(file)
		if err != nil {
			return fmt.Errorf("read a list of passwords: %w", err)
		}
		words = append(words, list...)
	}
	buffered := bufio.NewWriter(out)
	for _, word := range compile(words, phrases()) {
		if _, err := fmt.Fprintln(buffered, word); err != nil {
			return fmt.Errorf("write the list: %w", err)
		}
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("write the list: %w", err)
	}
	return nil
}

// read returns the passwords of a list in the form in which passwords are compared.
func read(file string) ([]string, error) {
	data, err := os.ReadFile(file) //nolint:gosec // the file that the user names
	if err != nil {
		return nil, err
	}
	var words []string
	if filepath.Ext(file) == ".json" {
		if err := json.Unmarshal(data, &words); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	} else {
		words = slices.Collect(strings.Lines(string(data)))
	}
	for i, word := range words {
		words[i] = simplify(strings.TrimRight(word, "\r\n"))
	}
	return words, nil
}

func simplify(s string) string { return cases.Fold().String(norm.NFKC.String(s)) }
