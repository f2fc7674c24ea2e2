// Package consistency_test compares facts that are stated in more than one place: limits and defaults in the code, the chart, the
// dashboards and the documentation.
package consistency_test

import (
	"errors"
	"go/ast"
	"go/build"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

const root = "../.."

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// match returns the group of a pattern that a file has exactly once.
func match(t *testing.T, file, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindAllStringSubmatch(read(t, file), -1)
	if len(found) != 1 {
		t.Fatalf("%s has %d matches of %s", file, len(found), pattern)
	}
	return found[0][1]
}

// sources type-checks the packages of pkg, as far as their constants need it. Of the packages outside this repository, it imports only
// time.
type sources struct {
	files    *token.FileSet
	standard types.Importer
	packages map[string]*types.Package
	parsed   map[string][]*ast.File
}

// shared has the packages that tests have loaded. Only load may use it, because load locks the mutex.
var shared = sync.OnceValue(func() *sources {
	files := token.NewFileSet()
	return &sources{
		files: files, standard: importer.ForCompiler(files, "source", nil),
		packages: map[string]*types.Package{}, parsed: map[string][]*ast.File{},
	}
})

var mutex sync.Mutex

// Import implements types.Importer.
func (s *sources) Import(path string) (*types.Package, error) {
	if path == "time" {
		return s.standard.Import(path)
	}
	dir, ours := strings.CutPrefix(path, "user-service/")
	if !ours {
		return nil, errors.New("not imported")
	}
	if known := s.packages[path]; known != nil {
		return known, nil
	}
	var all []*ast.File
	names, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if ok, err := build.Default.MatchFile(filepath.Dir(name), filepath.Base(name)); err != nil || !ok ||
			strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(s.files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		all = append(all, file)
	}
	ignore := types.Config{Importer: s, Error: func(error) {}, IgnoreFuncBodies: true, FakeImportC: true}
	pkg, _ := ignore.Check(path, s.files, all, nil)
	s.packages[path], s.parsed[path] = pkg, all
	return pkg, nil
}

// load returns a package of pkg and its files.
func load(t *testing.T, dir string) (*types.Package, []*ast.File) {
	t.Helper()
	mutex.Lock()
	defer mutex.Unlock()
	path := "user-service/" + dir
	pkg, err := shared().Import(path)
	if err != nil {
		t.Fatal(err)
	}
	return pkg, shared().parsed[path]
}

// object returns a package-level object, such as maxBody of pkg/httpapi, or nil.
func object(t *testing.T, dir, name string) types.Object {
	t.Helper()
	pkg, _ := load(t, dir)
	return pkg.Scope().Lookup(name)
}

// number returns the value of a constant.
func number(t *testing.T, dir, name string) float64 {
	t.Helper()
	c, ok := object(t, dir, name).(*types.Const)
	if !ok {
		t.Fatalf("%s has no constant %s", dir, name)
	}
	value, _ := constant.Float64Val(constant.ToFloat(c.Val()))
	return value
}

// texts returns the string literals in the value of a package-level variable.
func texts(t *testing.T, dir, variable string) (all []string) {
	t.Helper()
	pkg, files := load(t, dir)
	if pkg.Scope().Lookup(variable) == nil {
		t.Fatalf("%s has no %s", dir, variable)
	}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || spec.Names[0].Name != variable {
				return true
			}
			all = literals(spec)
			return false
		})
	}
	return all
}

// literals returns the string literals in a part of a program.
func literals(in ast.Node) (all []string) {
	ast.Inspect(in, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			all = append(all, constant.StringVal(constant.MakeFromLiteral(literal.Value, token.STRING, 0)))
		}
		return true
	})
	return all
}

// defaultOf returns the default of a configuration variable, or "".
func defaultOf(t *testing.T, variable string) string {
	t.Helper()
	found := regexp.MustCompile("env:\"" + variable + `(?:, default=([^",]*))?[",]`).FindStringSubmatch(read(t, "pkg/config/config.go"))
	if found == nil {
		t.Fatalf("no variable %s", variable)
	}
	return found[1]
}

// eachFile calls visit with each file below a folder whose name has this suffix. It omits hidden folders.
func eachFile(t *testing.T, folder, suffix string, visit func(name, text string)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(root), folder, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && name != ".":
			return fs.SkipDir
		case !entry.IsDir() && strings.HasSuffix(name, suffix):
			visit(name, read(t, name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
