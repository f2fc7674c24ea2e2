package postgres_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPersonalDataInTheServersLogIsFound checks the script that searches PostgreSQL's log for personal data at the end of the tests.
func TestPersonalDataInTheServersLogIsFound(t *testing.T) {
	t.Parallel()
	const good = "LOG:  starting PostgreSQL\nERROR:  duplicate key value\nDETAIL:  Key (id)=(7) already exists.\n"
	for name, c := range map[string]struct {
		log, from string
		found     string // a part of the output; empty: the check succeeds
	}{
		"no personal data": {good, "1", ""},
		"a key":            {good + "DETAIL:  Key (email_key)=(Ada@Example.com) already exists.\n", "1", "4:DETAIL:  Key"},
		"another domain":   {good + "STATEMENT:  SELECT 'ada@mail.example'\n", "1", "4:STATEMENT"},
		"a row":            {good + "DETAIL:  Failing row contains (7, x).\n", "1", "4:DETAIL:  Failing row"},
		"before the start": {"DETAIL:  Key (email_key)=(ada@example.com)\n" + good, "44", ""},
		"no such log":      {"", "1", "can't be read"},
	} {
		file := filepath.Join(t.TempDir(), "log")
		if c.log != "" {
			if err := os.WriteFile(file, []byte(c.log), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		check := exec.CommandContext(t.Context(), "../../tools/dev/postgres-log", c.from)
		check.Env = append(os.Environ(), "POSTGRES_LOG="+file)
		out, err := check.CombinedOutput()
		if (err == nil) != (c.found == "") || !strings.Contains(string(out), c.found) {
			t.Errorf("%s: %v, output %q, want success: %t and %q in the output", name, err, out, c.found == "", c.found)
		}
	}
	check := exec.CommandContext(t.Context(), "../../tools/dev/postgres-log")
	check.Env = append(os.Environ(), "POSTGRES_LOG=")
	if out, err := check.CombinedOutput(); err != nil || !strings.Contains(string(out), "not checked") {
		t.Errorf("without a log: %v, output %q, want success and \"not checked\"", err, out)
	}
}
