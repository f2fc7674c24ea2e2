package observability_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	panelList = regexp.MustCompile(`(?:[Pp]anels?|[Rr]ows?|In) ((?:\*[^*]+\*(?:, | and |, and )?)+)`)
	emphasis  = regexp.MustCompile(`\*([^*]+)\*`)
)

// TestTheRunbooksNameExistingPanels checks the names in italics after the words panel and row.
func TestTheRunbooksNameExistingPanels(t *testing.T) {
	t.Parallel()
	titles := map[string]bool{}
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			titles[p.Title] = true
		}
	}
	files, err := filepath.Glob("docs/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, file := range append(files, "docs/operations.md", "docs/mail.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, list := range panelList.FindAllStringSubmatch(string(text), -1) {
			for _, title := range emphasis.FindAllStringSubmatch(list[1], -1) {
				named++
				if !titles[title[1]] {
					t.Errorf("%s names the panel %q, which does not exist", file, title[1])
				}
			}
		}
	}
	if named < 30 {
		t.Errorf("only %d panels are named", named)
	}
}

// TestEachRunbookAnswersTheSameQuestions checks that each runbook says what users notice, what to do under each way of delivery, when to
// stop, and whom to notify.
func TestEachRunbookAnswersTheSameQuestions(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("docs/runbooks/UserService*.md")
	if err != nil || len(files) < 26 {
		t.Fatalf("%d runbooks: %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"Impact", "Diagnosis", "Helm, Argo CD and Flux", "When to stop", "Notify"} {
			if !strings.Contains(string(text), "\n**"+part+"**") {
				t.Errorf("%s has no part %q", file, part)
			}
		}
		if !strings.Contains(string(text), "```sh\n") {
			t.Errorf("%s has no command", file)
		}
	}
}
