package consistency_test

import (
	"fmt"
	"go/constant"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	nameInCode  = regexp.MustCompile("`(?:([a-z]+)\\.)?(\\w+)`")
	inBrackets  = regexp.MustCompile(`\([^)]*\)`)
	quantity    = regexp.MustCompile(`(a hundredth|\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)(?: (ms|s|min|h|days|KiB|MiB|GiB)\b)?`)
	variable    = regexp.MustCompile(`^[A-Z][A-Z0-9_]+$`)
	unitsOfTime = map[string]time.Duration{
		"ms": time.Millisecond, "s": time.Second, "min": time.Minute, "h": time.Hour, "days": 24 * time.Hour,
	}
	unitsOfMemory = map[string]float64{"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
)

// TestLimitsInTheDocumentationMatchTheCode compares each table row that names constants of a package, such as
// `httpapi.maxBody`, or configuration variables, with their values. The second cell has the values in the order of the names.
func TestLimitsInTheDocumentationMatchTheCode(t *testing.T) {
	t.Parallel()
	compared := 0
	eachFile(t, "docs", ".md", func(name, text string) {
		for line := range strings.Lines(text) {
			cells := strings.Split(line, "|")
			if len(cells) > 3 && strings.HasPrefix(line, "| `") {
				compared += compareRow(t, name, cells[1], cells[2])
			}
		}
	})
	if compared < 90 {
		t.Errorf("only %d values are compared", compared)
	}
}

// compareRow returns the number of compared values.
func compareRow(t *testing.T, page, names, values string) (compared int) {
	t.Helper()
	names = inBrackets.ReplaceAllString(names, "")
	found := quantity.FindAllStringSubmatch(inBrackets.ReplaceAllString(values, ""), -1)
	folder := ""
	for i, m := range nameInCode.FindAllStringSubmatch(names, -1) {
		if m[1] != "" {
			if folder = "pkg/" + m[1]; !isFolder(folder) {
				return compared
			}
		}
		want, isValue := valueInCode(t, page, folder, m[2])
		if !isValue {
			continue
		}
		compared++
		if i >= len(found) {
			t.Errorf("%s: the row of %s has no value for %s", page, strings.TrimSpace(names), m[2])
		} else if got := found[i]; !equal(want, got[1], got[2]) {
			t.Errorf("%s: %s is %s %s, in the code %v", page, m[2], got[1], got[2], want)
		}
	}
	return compared
}

func isFolder(name string) bool {
	stat, err := os.Stat(filepath.Join(root, name))
	return err == nil && stat.IsDir()
}

// valueInCode returns the value of a constant, or the default of a configuration variable. The value is a time.Duration or a number.
func valueInCode(t *testing.T, page, folder, name string) (value any, ok bool) {
	t.Helper()
	if variable.MatchString(name) {
		if page != "docs/architecture.md" {
			return nil, false
		}
		return parse(defaultOf(t, name))
	}
	if folder == "" {
		return nil, false
	}
	c, ok := object(t, folder, name).(*types.Const)
	if !ok {
		if object(t, folder, name) == nil {
			t.Errorf("%s: %s has no %s", page, folder, name)
		}
		return nil, false
	}
	if c.Val().Kind() == constant.String { // a setting of PostgreSQL, in milliseconds without a unit
		text := constant.StringVal(c.Val())
		if _, err := strconv.Atoi(text); err == nil {
			text += "ms"
		}
		return parse(text)
	}
	n, _ := constant.Float64Val(constant.ToFloat(c.Val()))
	if c.Type().String() == "time.Duration" {
		return time.Duration(n), true
	}
	if strings.HasSuffix(name, "KiB") {
		n *= 1 << 10
	}
	return n, true
}

// parse returns the value of a default, unless the default means a computed value.
func parse(text string) (value any, ok bool) {
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return d, true
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil && n > 0
}

func equal(want any, digits, unit string) bool {
	if digits == "a hundredth" {
		digits = "0.01"
	}
	n, err := strconv.ParseFloat(strings.ReplaceAll(digits, ",", ""), 64)
	if err != nil {
		return false
	}
	if d, ok := want.(time.Duration); ok {
		return time.Duration(n*float64(unitsOfTime[unit])) == d && unit != ""
	}
	factor, ok := unitsOfMemory[unit]
	return ok && fmt.Sprint(n*factor) == fmt.Sprint(want)
}

var citedTest = regexp.MustCompile(`\b(?:Test|Benchmark|Fuzz)[A-Z]\w+`)

// TestCitedTestsExist looks for each test that the documentation and the comments of the code cite.
func TestCitedTestsExist(t *testing.T) {
	t.Parallel()
	defined := map[string]bool{}
	define := func(_, text string) {
		for _, m := range regexp.MustCompile(`(?m)^\+?func ((?:Test|Benchmark|Fuzz)\w+)\(`).FindAllStringSubmatch(text, -1) {
			defined[m[1]] = true
		}
	}
	eachFile(t, ".", "_test.go", define)
	define("", read(t, "docs/development.md")) // the guide's first change adds a test
	cited := 0
	check := func(name, text string) {
		for _, test := range citedTest.FindAllString(text, -1) {
			cited++
			if !isDefined(defined, test) {
				t.Errorf("%s cites %s, which does not exist", name, test)
			}
		}
	}
	eachFile(t, ".", ".md", check)
	eachFile(t, ".", ".go", func(name, text string) {
		for line := range strings.Lines(text) {
			if _, comment, ok := strings.Cut(line, "// "); ok {
				check(name, comment)
			}
		}
	})
	if cited < 90 {
		t.Errorf("only %d citations are found", cited)
	}
}

// isDefined reports whether a test exists. A citation may be the beginning of a name, as in go test -run.
func isDefined(defined map[string]bool, test string) bool {
	if defined[test] {
		return true
	}
	for name := range defined {
		if strings.HasPrefix(name, test) {
			return true
		}
	}
	return false
}

var citedPath = regexp.MustCompile("`((?:api|charts|cmd|docs|internal|k8s|migrations|pkg|test|tilt|tools)/[\\w./-]+)")

// TestCitedPathsExist looks for each file and folder of the repository that the documentation cites in backticks.
func TestCitedPathsExist(t *testing.T) {
	t.Parallel()
	cited := 0
	eachFile(t, ".", ".md", func(name, text string) {
		for _, m := range citedPath.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "NNNNN") { // stands for the number of a migration
				continue
			}
			cited++
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s cites %s, which does not exist", name, m[1])
			}
		}
	})
	if cited < 200 {
		t.Errorf("only %d citations are found", cited)
	}
}

var functionOfFile = regexp.MustCompile("(?m)^\\d+\\. `(pkg/[a-z/]+\\.go)`, `(\\w+)`")

// TestFunctionsOfThePathsExist compares the list of files and functions in "Four paths through the code" with the code.
func TestFunctionsOfThePathsExist(t *testing.T) {
	t.Parallel()
	found := functionOfFile.FindAllStringSubmatch(read(t, "docs/architecture.md"), -1)
	if len(found) < 20 {
		t.Errorf("only %d functions are compared", len(found))
	}
	for _, m := range found {
		if !regexp.MustCompile(`(?m)^func (?:\([^)]*\) )?` + m[2] + `[(\[]`).MatchString(read(t, m[1])) {
			t.Errorf("%s has no function %s", m[1], m[2])
		}
	}
}
