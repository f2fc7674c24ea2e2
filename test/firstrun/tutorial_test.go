package firstrun_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"user-service/internal/testkit"
)

// block matches a code block of the page and a step in the browser. The groups of a code block are its language, the command whose output
// it shows, and its text.
var block = regexp.MustCompile("(?ms)^```(sh|console|text|go)(?: (.+?))?\n(.*?)^```$|^<!-- browser: (.+?) -->$")

// TestTheTutorialWorks follows docs/tutorial.md: it runs all commands in their order, and compares their output with the page. With an
// unchanged copy of .env.example as .env, make run starts its own servers and generates JWT_SECRET.
func TestTheTutorialWorks(t *testing.T) {
	t.Parallel()
	r := newReader(t)
	page, err := os.ReadFile(filepath.Join(root, "docs/tutorial.md"))
	if err != nil {
		t.Fatal(err)
	}
	steps := map[string]int{}
	for _, m := range block.FindAllStringSubmatch(string(page), -1) {
		language, command, text, browser := m[1], m[2], m[3], m[4]
		steps[language]++
		switch language {
		case "sh":
			r.inAnotherTerminal(strings.TrimSpace(text))
		case "console":
			r.inTheTerminal(text)
		case "text":
			r.wantLines(command, text)
		case "go":
			r.wantCode(text)
		default:
			r.inTheBrowser(browser)
		}
	}
	if steps["sh"] < 4 || steps["console"] < 10 || steps["text"] < 6 || steps["go"] < 2 || steps[""] != 3 {
		t.Errorf("the page has the blocks %v", steps)
	}
	secrets, err := filepath.Glob(filepath.Join(r.temp, "user-service-*", "jwt-secret"))
	if err != nil || len(secrets) != 1 {
		t.Errorf("generated secrets: %v, %v, want one", secrets, err)
	}
}

// inAnotherTerminal runs a command until the test ends. The only command without make deletes the data of the servers, and runs last.
func (r *reader) inAnotherTerminal(line string) {
	r.t.Helper()
	target := strings.LastIndex(line, "make ")
	if target < 0 {
		r.cleanUp = line
		return
	}
	r.terminals[line[target:]] = startInTerminal(r.t, r.dir, r.env, r.toTest(line))
}

// commandAndOutput matches a command of a console and its output. The other lines of a command are indented.
var commandAndOutput = regexp.MustCompile(`(?m)^\$ (.+\n(?: .*\n)*)((?:[^$].*\n)*)`)

// inTheTerminal runs the commands of a console.
func (r *reader) inTheTerminal(text string) {
	r.t.Helper()
	for _, m := range commandAndOutput.FindAllStringSubmatch(text, -1) {
		got, want := r.shell.run(r.toTest(m[1])), strings.TrimSpace(m[2])
		if !r.matches(strings.TrimSpace(got), want) {
			r.t.Fatalf("the command\n%s\nprints\n%s\nwant\n%s", m[1], got, want)
		}
	}
}

// startTime is the maximum time for the start of the servers. It takes seconds on an idle machine.
const startTime = 4 * time.Minute

// wantLines waits until a command in another terminal has printed each line.
func (r *reader) wantLines(command, text string) {
	r.t.Helper()
	output := r.terminals[command]
	if output == nil {
		r.t.Fatalf("%q does not run", command)
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		printed := testkit.Await(r.t.Context(), startTime, func() bool {
			if strings.Contains(output.String(), "make: ***") {
				r.t.Fatalf("%s has failed", command)
			}
			for got := range strings.Lines(output.String()) {
				if r.matches(strings.TrimSpace(got), line) {
					return true
				}
			}
			return false
		})
		if !printed {
			r.t.Fatalf("%s has not printed %q", command, line)
		}
	}
}

// wantCode requires that the sample contains the code of the page.
func (r *reader) wantCode(text string) {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "docs/examples/shop/orders/*.go"))
	if err != nil || len(files) == 0 {
		r.t.Fatalf("the sample has the files %v, %v", files, err)
	}
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			r.t.Fatal(err)
		}
		if strings.Contains(string(code), text) {
			return
		}
	}
	r.t.Errorf("the sample does not contain\n%s", text)
}

// varying matches the parts of an output that differ in each run: ids, times, and omissions.
var varying = regexp.MustCompile(`[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[0-9:.]+Z|…`)

// matches compares an output with the page. Each id on the page must stand for the same id of this run everywhere.
func (r *reader) matches(got, want string) bool {
	var ids []string
	pattern, from := "^", 0
	for _, at := range varying.FindAllStringIndex(want, -1) {
		pattern += regexp.QuoteMeta(want[from:at[0]])
		switch text := want[at[0]:at[1]]; {
		case text == "…":
			pattern += `.*?`
		case strings.HasSuffix(text, "Z"):
			pattern += `\d{4}-\d\d-\d\dT[0-9:.]+Z`
		default:
			pattern += `([0-9a-f-]{36})`
			ids = append(ids, text)
		}
		from = at[1]
	}
	m := regexp.MustCompile(pattern + regexp.QuoteMeta(want[from:]) + "$").FindStringSubmatch(r.toPage(got))
	if m == nil {
		return false
	}
	found := map[string]string{}
	for i, id := range ids {
		for _, known := range []map[string]string{r.ids, found} {
			if known[id] != "" && known[id] != m[i+1] {
				return false
			}
		}
		found[id] = m[i+1]
	}
	for id, actual := range found {
		r.ids[id] = actual
	}
	return true
}
