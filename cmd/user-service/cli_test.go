package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

var updateReference = flag.Bool("update", false, "write the help of the commands to docs/cli.md")

const (
	cliPage  = "../../docs/cli.md"
	cliBegin = "<!-- cli:begin -->\n"
)

// TestTheReferenceHasTheHelpOfEveryCommand compares the sections of docs/cli.md with --help.
func TestTheReferenceHasTheHelpOfEveryCommand(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(cliPage)
	if err != nil {
		t.Fatal(err)
	}
	before, _, found := strings.Cut(string(page), cliBegin)
	if !found {
		t.Fatalf("%s has no %q", cliPage, cliBegin)
	}
	want := before + cliBegin + sections(t)
	if *updateReference {
		if err := os.WriteFile(cliPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(page)); diff != "" {
		t.Errorf("%s differs from --help; run: go test ./cmd/user-service -run TestTheReference -update (-want +got):\n%s", cliPage, diff)
	}
}

// sections returns a section for each command, in the order of the help.
func sections(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for _, cmd := range commands(program()) {
		if !inReference(cmd) {
			continue
		}
		fmt.Fprintf(&out, "\n## %s\n\n```console\n$ %s --help\n%s\n```\n", cmd.CommandPath(), cmd.CommandPath(), help(t, cmd))
	}
	return out.String()
}

// inReference excludes commands that are not for people.
func inReference(cmd *cobra.Command) bool {
	return !cmd.Hidden && cmd.Name() != "help"
}

func help(t *testing.T, cmd *cobra.Command) string {
	t.Helper()
	var out bytes.Buffer
	args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
	if err := run(t.Context(), args, strings.NewReader(""), &out, &out); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}
