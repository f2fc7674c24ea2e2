// The program reference writes reference pages. It generates docs/events.md from api/asyncapi.yaml. The service serves docs/events.md and
// docs/problems.md below /docs, so the program also converts them to HTML.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"user-service/api"
)

const (
	events   = "docs/events.md"
	problems = "docs/problems.md"
	pages    = "pkg/httpapi/docspage/"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: reference ROOT")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

func write(root string) error {
	content, err := files(root)
	if err != nil {
		return err
	}
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(root, name), text, 0o644); err != nil { //nolint:gosec // for everybody to read
			return fmt.Errorf("write a reference page: %w", err)
		}
	}
	return nil
}

// files returns the generated files by their paths below root.
func files(root string) (map[string][]byte, error) {
	eventsPage, err := eventsMarkdown(api.AsyncAPI(), api.OpenAPI())
	if err != nil {
		return nil, err
	}
	problemsPage, err := os.ReadFile(filepath.Join(root, problems)) //nolint:gosec // a file of the repository
	if err != nil {
		return nil, fmt.Errorf("read the page of problems: %w", err)
	}
	out := map[string][]byte{events: eventsPage}
	for name, markdown := range map[string][]byte{"events.html": eventsPage, "problems.html": problemsPage} {
		if out[pages+name], err = htmlPage(markdown); err != nil {
			return nil, err
		}
	}
	return out, nil
}
