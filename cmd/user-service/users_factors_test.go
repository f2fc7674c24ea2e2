package main

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAnOperatorRemovesAFactor lists and removes a factor, by email and by id. Neither command needs DATA_KEY.
func TestAnOperatorRemovesAFactor(t *testing.T) {
	t.Parallel()
	env, db := migrated(t)
	command := func(in string, args ...string) (out string, code int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "user-service", append([]string{"users"}, args...)...)
		cmd.Env, cmd.Stdin = env, strings.NewReader(in)
		raw, _ := cmd.CombinedOutput()
		return string(raw), cmd.ProcessState.ExitCode()
	}
	out, code := command(secrets["PASSWORD"], "create", "--email", "Ada@example.com", "--password-stdin")
	if code != 0 {
		t.Fatal(out)
	}
	id, factor := strings.TrimSpace(out), "019ab3d0-1a2b-7c3d-8e4f-5a6b7c8d9e02"
	if _, err := db.Exec(t.Context(), `INSERT INTO factors (id, user_id, type, name, confirmed_at)
		VALUES ($1, $2, 'totp', 'Phone', now())`, factor, id); err != nil {
		t.Fatal(err)
	}
	listed := `^\[\{"id":"` + factor + `","type":"totp","name":"Phone","created_at":"20[^"]*","confirmed":true\}\]\n$`
	for _, c := range []struct {
		args []string
		code int
		want string // a pattern of the output
	}{
		{[]string{"factors", "ADA@example.com"}, 0, `^ID +TYPE +NAME +CREATED +CONFIRMED\n` + factor + `  totp  "Phone"  20\S+  true\n$`},
		{[]string{"factors", id, "-o", "json"}, 0, listed},
		{[]string{"factors"}, 2, `EMAIL\|ID`},
		{[]string{"factors", id, "-o", "yaml"}, 2, `-o must be table or json`},
		{[]string{"factors", "nobody@example.com"}, 1, `no account has this email`},
		{[]string{"factors", factor}, 1, `find the account: `},
		{[]string{"remove-factor", id, "Phone"}, 2, `FACTOR_ID must be the id of a factor`},
		{[]string{"remove-factor", id, id}, 1, `remove the factor: There is no such factor.`},
		{[]string{"remove-factor", "ada@example.com", factor}, 0, `^$`},
		{[]string{"factors", id, "-o", "json"}, 0, `^\[\]\n$`},
	} {
		out, code := command("", c.args...)
		if matches, err := regexp.MatchString(c.want, out); code != c.code || err != nil || !matches {
			t.Errorf("users %v: exit code %d, output %q, want %d and %s (%v)", c.args, code, out, c.code, c.want, err)
		}
	}
	want := []string{
		`user_updated cli no id {"change": "removed", "factor": "totp", "changed": ["factors"], "factor_id": "` + factor + `"}`,
	}
	if diff := cmp.Diff(want, trail(t, db, "action = 'user_updated'")); diff != "" {
		t.Error(diff)
	}
}
