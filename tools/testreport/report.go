package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// event is a line of go test -json, as go doc test2json and go help buildjson describe it.
type event struct {
	Action      string
	Package     string
	Test        string
	Output      string
	Elapsed     float64 // seconds
	ImportPath  string  // of what is built
	FailedBuild string  // the ImportPath that kept a package's tests from being built
}

// testcase is a test, a subtest, a fuzz target's seed, an example or a benchmark.
type testcase struct {
	verdict string // pass, fail, skip, or empty while it runs
	output  strings.Builder
	parent  bool // it has subtests
	blamed  bool // one of them failed
}

// testedPackage is what is known of a package whose tests have not ended yet.
type testedPackage struct {
	tests  map[string]*testcase
	output strings.Builder // of no test in particular
}

// report reads the events of a whole run and prints what people want to know of it.
type report struct {
	out                     io.Writer
	packages                map[string]*testedPackage
	builds                  map[string]*strings.Builder // what the compiler said, by ImportPath
	passed, failed, skipped int
}

func newReport(out io.Writer) *report {
	return &report{out: out, packages: map[string]*testedPackage{}, builds: map[string]*strings.Builder{}}
}

// read takes events until in ends. A line that is not an event is printed as it is.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil && e.Action != "" {
				r.take(e)
			} else {
				fmt.Fprintf(r.out, "%s\n", strings.TrimRight(string(line), "\n"))
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the events: %w", err)
		}
	}
}

func (r *report) take(e event) {
	switch {
	case e.Action == "build-output":
		if r.builds[e.ImportPath] == nil {
			r.builds[e.ImportPath] = new(strings.Builder)
		}
		r.builds[e.ImportPath].WriteString(e.Output)
	case e.Package == "":
	case e.Test != "":
		r.pkg(e.Package).take(e)
	case e.Action == "output":
		r.pkg(e.Package).output.WriteString(e.Output)
	case e.Action == "pass", e.Action == "fail", e.Action == "skip":
		r.end(e)
	}
}

func (r *report) pkg(name string) *testedPackage {
	if r.packages[name] == nil {
		r.packages[name] = &testedPackage{tests: map[string]*testcase{}}
	}
	return r.packages[name]
}

func (p *testedPackage) take(e event) {
	t := p.test(e.Test)
	switch e.Action {
	case "output":
		t.output.WriteString(e.Output)
	case "pass", "fail", "skip":
		t.verdict = e.Action
	}
}

func (p *testedPackage) test(name string) *testcase {
	if p.tests[name] == nil {
		p.tests[name] = &testcase{}
		if parent := p.parentOf(name); parent != nil {
			parent.parent = true
		}
	}
	return p.tests[name]
}

// parentOf returns the test that has the subtest name, or nil. A name may hold slashes of its own,
// and a parent is told of before its subtests.
func (p *testedPackage) parentOf(name string) *testcase {
	for i := len(name) - 1; i > 0; i-- {
		if parent := p.tests[name[:i]]; name[i] == '/' && parent != nil {
			return parent
		}
	}
	return nil
}

// end counts and prints a package that is done.
func (r *report) end(e event) {
	p := r.pkg(e.Package)
	delete(r.packages, e.Package)
	before := r.failed
	names := slices.Sorted(maps.Keys(p.tests))
	slices.Reverse(names) // subtests come before their parents, which they take the blame from
	for _, name := range names {
		r.count(e.Package, p, name)
	}
	switch {
	case e.Action == "fail":
		if r.failed == before { // not the fault of a test: it was not built, TestMain failed, or the like
			r.failed++
		}
		if b := r.builds[e.FailedBuild]; b != nil {
			fmt.Fprint(r.out, b)
		}
		fmt.Fprint(r.out, p.output.String())
		fmt.Fprintf(r.out, "FAIL %s %.1fs\n", e.Package, e.Elapsed)
	case len(p.tests) == 0:
		fmt.Fprintf(r.out, "--   %s has no tests\n", e.Package)
	default:
		fmt.Fprintf(r.out, "ok   %s %.1fs\n", e.Package, e.Elapsed)
	}
}

func (r *report) count(pkg string, p *testedPackage, name string) {
	t := p.tests[name]
	if t.verdict == "" { // it never ended: a panic, a deadline, an exit
		t.verdict = "fail"
	}
	switch {
	case t.verdict == "fail":
		if !t.blamed {
			r.failed++
		}
		if parent := p.parentOf(name); parent != nil {
			parent.blamed = true
		}
		r.explain("FAIL", pkg, name, t)
	case t.verdict == "skip":
		r.skipped++
		r.explain("SKIP", pkg, name, t)
	case !t.parent:
		r.passed++
	}
}

func (r *report) explain(verdict, pkg, name string, t *testcase) {
	fmt.Fprintf(r.out, "%s %s in %s\n%s", verdict, name, pkg, t.output.String())
}

// finish prints the sums and returns whether all is well.
func (r *report) finish() bool {
	for _, name := range slices.Sorted(maps.Keys(r.packages)) {
		r.end(event{Action: "fail", Package: name, FailedBuild: name})
	}
	if r.skipped > 0 {
		fmt.Fprintln(r.out, "a skipped test shows nothing: make it run, or delete it")
	}
	if r.passed+r.failed+r.skipped == 0 {
		fmt.Fprintln(r.out, "there was no test to run")
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	return r.passed > 0 && r.failed == 0 && r.skipped == 0
}
