// Command commonpasswords writes pkg/password/common.txt: the passwords that attackers try first, from lists of passwords that are
// sorted by frequency.
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

	"user-service/pkg/password"
)

const usage = `Usage: commonpasswords LIST... > common.txt

Prints the list of common passwords that package password refuses.

Each LIST is a file of passwords, the most frequent first: a JSON array of strings if
its name ends in .json, otherwise one password per line. The list also contains pairs of the
most frequent words, and these words and the phrases of phrases.txt and sayings.txt with digits
or a year at the end, because people lengthen their passwords in these ways.
The list omits passwords that another rule of package password refuses.

pkg/password/NOTICE names the lists that common.txt was made from. To make it again:
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

// run compiles these files into a list, and writes it to out.
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

// read returns the passwords of a file, normalized as package password compares them.
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
		words[i] = password.Simplify(strings.TrimRight(word, "\r\n"))
	}
	return words, nil
}
