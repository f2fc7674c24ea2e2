package config_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// assignments match assignments of values to signing secrets: in environments of any notation, in Go code, and in values of the chart.
var assignments = func() []*regexp.Regexp {
	const value = `(?:"([^"\n]+)"|'([^'\n]+)'|([^\s"'#,|}]+))`
	return []*regexp.Regexp{
		regexp.MustCompile(`JWT_(?:ACCEPTED_)?SECRETS?["']?(?:=|: *|, *)` + value),
		regexp.MustCompile(`["']JWT_(?:ACCEPTED_)?SECRETS?=([^"'\n]+)`),
		regexp.MustCompile(`jwt(?:: *\{ *|\.)(?:secret|acceptedSecrets)[:=] *` + value),
		regexp.MustCompile(`(?:acceptedSecrets|jwt-secret|jwt-accepted-secrets)[:=] *` + value),
		regexp.MustCompile(`(?m)^jwt:\n(?:  .*\n)*?  secret: *` + value),
	}
}()

// dataKeys matches values that could be data keys: the base64 of 32 bytes.
var dataKeys = regexp.MustCompile(`[A-Za-z0-9+/]{43}=`)

// TestNoFileContainsASecretThatTheServiceAccepts searches all files for signing secrets and data keys. With a secret that the service
// accepts, a reader of this repository could sign tokens. Code must generate its secrets at run time.
func TestNoFileContainsASecretThatTheServiceAccepts(t *testing.T) {
	t.Parallel()
	const root = "../.."
	list, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "-z").Output()
	if err != nil {
		t.Fatalf("list the files of the repository: %v", err)
	}
	files := strings.Split(strings.TrimRight(string(list), "\x00"), "\x00")
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(root, file))
		if os.IsNotExist(err) { // the file was deleted, but the deletion is not committed yet
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range bytes.Split(content, []byte("\n")) {
			if bytes.Contains(line, []byte("DATA_")) && dataKeys.Match(line) {
				t.Errorf("%s contains a value for DATA_KEY: %s", file, line)
			}
		}
		for _, value := range assigned(content) {
			if _, err := load(t, with(map[string]string{"JWT_SECRET": value})); err == nil {
				t.Errorf("%s contains a secret that the service accepts: %q", file, value)
			}
		}
	}
	if len(files) < 100 {
		t.Errorf("only %d files were checked, want at least 100", len(files))
	}
}

// assigned returns the literal secrets in a file. It ignores variables, calls, templates and paths.
func assigned(content []byte) []string {
	var values []string
	for _, assignment := range assignments {
		for _, match := range assignment.FindAllSubmatch(content, -1) {
			if value := bytes.Join(match[1:], nil); !bytes.ContainsAny(value, "$({<*\\/") {
				values = append(values, string(value))
			}
		}
	}
	return values
}

// TestPublishedSecretsAreFound checks that assigned finds a secret in each notation.
func TestPublishedSecretsAreFound(t *testing.T) {
	t.Parallel()
	value := "for-local-" + "development-only-0123456789"
	for _, file := range []string{
		"JWT_SECRET=" + value, "export JWT_SECRET='" + value + "'\n", "  JWT_SECRET: " + value, `"JWT_SECRET": "` + value + `",`,
		`"JWT_SECRET=` + value + `", "JWT_ISSUER="`, "JWT_ACCEPTED_SECRETS=" + value, "JWT_SECRET=" + value + " bin/user-service serve",
		"jwt: {secret: " + value + ", acceptedSecrets: ''}", "--set jwt.secret=" + value + " --set x=y",
		"jwt:\n  keys: {}\n  secret: " + value + "\n",
		"jwt:\n  acceptedSecrets: " + value, "--from-literal=jwt-secret=" + value, `t.Setenv("JWT_SECRET", "` + value + `")`,
	} {
		matched := false
		for _, found := range assigned([]byte(file)) {
			matched = matched || found == value
		}
		if !matched {
			t.Errorf("in %q assigned finds %q, want the secret", file, assigned([]byte(file)))
		}
	}
}
