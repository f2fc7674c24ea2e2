// Command testreport makes the output of go test -json readable, and its verdict strict.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
)

const usage = `Usage: go test -json PACKAGES | testreport

Prints a line for each package as it ends, all output of what failed, and at the end
how many tests passed, failed and were skipped; a test with subtests is not counted,
but they are. Exits 1 if a test failed or was skipped, or if there was none.

Example:
  go test -race -json ./... | testreport
`

func main() {
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), usage) }
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	os.Exit(run(os.Stdin, os.Stdout, os.Stderr))
}

// run reports on the events of in and returns the exit code.
func run(in io.Reader, out, errOut io.Writer) int {
	r := newReport(out)
	if err := r.read(in); err != nil {
		fmt.Fprintln(errOut, "testreport:", err)
		return 1
	}
	if !r.finish() {
		return 1
	}
	return 0
}
