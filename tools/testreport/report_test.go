package main

import (
	"strings"
	"testing"
)

var reportTests = map[string]struct {
	events string
	code   int
	want   []string // in this order, the last one at the end
}{
	"all well": {
		`{"Action":"start","Package":"a"}
		{"Action":"run","Package":"a","Test":"TestX"}
		{"Action":"output","Package":"a","Test":"TestX","Output":"chatter\n"}
		{"Action":"pass","Package":"a","Test":"TestX","Elapsed":1}
		{"Action":"output","Package":"a","Output":"PASS\n"}
		{"Action":"pass","Package":"a","Elapsed":1.23}
		{"Action":"skip","Package":"b","Elapsed":0}`,
		0,
		[]string{"ok   a 1.2s\n", "--   b has no tests\n", "1 passed, 0 failed, 0 skipped\n"},
	},
	"subtests are counted, their parents are not": {
		`{"Action":"run","Package":"a","Test":"TestX"}
		{"Action":"run","Package":"a","Test":"TestX/one"}
		{"Action":"run","Package":"a","Test":"TestX/two"}
		{"Action":"output","Package":"a","Test":"TestX/two","Output":"got 1, want 2\n"}
		{"Action":"pass","Package":"a","Test":"TestX/one"}
		{"Action":"fail","Package":"a","Test":"TestX/two"}
		{"Action":"fail","Package":"a","Test":"TestX"}
		{"Action":"fail","Package":"a","Elapsed":0.5}`,
		1,
		[]string{"FAIL TestX/two in a\ngot 1, want 2\n", "FAIL a 0.5s\n", "1 passed, 1 failed, 0 skipped\n"},
	},
	"a name with slashes of its own": {
		`{"Action":"run","Package":"a","Test":"TestX"}
		{"Action":"run","Package":"a","Test":"TestX/GET_/users/{id}"}
		{"Action":"pass","Package":"a","Test":"TestX/GET_/users/{id}"}
		{"Action":"pass","Package":"a","Test":"TestX"}
		{"Action":"pass","Package":"a"}`,
		0,
		[]string{"ok   a", "1 passed, 0 failed, 0 skipped\n"},
	},
	"a parent that fails by itself": {
		`{"Action":"run","Package":"a","Test":"TestX"}
		{"Action":"run","Package":"a","Test":"TestX/one"}
		{"Action":"pass","Package":"a","Test":"TestX/one"}
		{"Action":"fail","Package":"a","Test":"TestX"}
		{"Action":"fail","Package":"a"}`,
		1,
		[]string{"FAIL TestX in a\n", "1 passed, 1 failed, 0 skipped\n"},
	},
	"a skipped test": {
		`{"Action":"run","Package":"a","Test":"TestX"}
		{"Action":"pass","Package":"a","Test":"TestX"}
		{"Action":"run","Package":"a","Test":"TestY"}
		{"Action":"output","Package":"a","Test":"TestY","Output":"no database\n"}
		{"Action":"skip","Package":"a","Test":"TestY"}
		{"Action":"pass","Package":"a"}`,
		1,
		[]string{"SKIP TestY in a\nno database\n", "1 passed, 0 failed, 1 skipped\n"},
	},
	"a test that never ends": {
		`{"Action":"run","Package":"a","Test":"TestX"}
		{"Action":"output","Package":"a","Test":"TestX","Output":"panic: test timed out\n"}
		{"Action":"fail","Package":"a","Elapsed":600}`,
		1,
		[]string{"panic: test timed out\n", "FAIL a 600.0s\n", "0 passed, 1 failed, 0 skipped\n"},
	},
	"a package that is not built": {
		`{"ImportPath":"a [a.test]","Action":"build-output","Output":"# a\n"}
		{"ImportPath":"a [a.test]","Action":"build-output","Output":"x.go:1:1: undefined: y\n"}
		{"ImportPath":"a [a.test]","Action":"build-fail"}
		{"Action":"start","Package":"a"}
		{"Action":"output","Package":"a","Output":"FAIL\ta [build failed]\n"}
		{"Action":"fail","Package":"a","Elapsed":0,"FailedBuild":"a [a.test]"}`,
		1,
		[]string{"# a\nx.go:1:1: undefined: y\n", "FAIL a", "0 passed, 1 failed, 0 skipped\n"},
	},
	"a TestMain that fails": {
		`{"Action":"start","Package":"a"}
		{"Action":"output","Package":"a","Output":"DATABASE_URL is not set\n"}
		{"Action":"fail","Package":"a","Elapsed":0}`,
		1,
		[]string{"DATABASE_URL is not set\n", "FAIL a", "0 passed, 1 failed, 0 skipped\n"},
	},
	"a run that was cut off": {
		`{"Action":"run","Package":"a","Test":"TestX"}
		{"Action":"pass","Package":"a","Test":"TestX"}
		{"Action":"pass","Package":"a"}
		{"Action":"run","Package":"b","Test":"TestY"}`,
		1,
		[]string{"ok   a", "FAIL TestY in b\n", "1 passed, 1 failed, 0 skipped\n"},
	},
	"no tests": {
		`{"Action":"skip","Package":"a"}`,
		1,
		[]string{"there was no test to run\n", "0 passed, 0 failed, 0 skipped\n"},
	},
	"nothing": {"", 1, []string{"0 passed, 0 failed, 0 skipped\n"}},
	"lines that are no events": {
		`warning: something
		{"Action":"run","Package":"a","Test":"TestX"}
		{"Action":"pass","Package":"a","Test":"TestX"}
		{"Action":"pass","Package":"a"}`,
		0,
		[]string{"warning: something\n", "1 passed, 0 failed, 0 skipped\n"},
	},
}

func TestReport(t *testing.T) {
	t.Parallel()
	for name, test := range reportTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errOut strings.Builder
			if code := run(strings.NewReader(test.events), &out, &errOut); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			rest := out.String()
			for _, want := range test.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("no %q, or too early, in:\n%s", want, out.String())
				}
				rest = after
			}
			if rest != "" {
				t.Errorf("after the sums: %q", rest)
			}
			if strings.Contains(out.String(), "chatter") {
				t.Errorf("the output of a test that passed:\n%s", out.String())
			}
		})
	}
}
