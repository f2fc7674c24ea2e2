package password

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// passwordPatterns find passwords in documents: in members of JSON and YAML, in the input of pipes, and in variables.
var passwordPatterns = []*regexp.Regexp{
	regexp.MustCompile(`(?i)"[a-z_]*password" *: *\\?"([^"\\]+)`),
	regexp.MustCompile(`[{ ](?:current_|new_)?password: ([a-z][a-z ]+[a-z])[,}]`),
	regexp.MustCompile(`(?:printf %s|echo) '([^']+)' *\|`),
	regexp.MustCompile(`\bPASSWORD=['"]?([^'"$\s]+)`),
	regexp.MustCompile(`\$\{PASSWORD:-([^}$]+)\}`),
}

// documents returns the files that show how to use the service.
func documents(t *testing.T) []string {
	t.Helper()
	const root = "../../"
	all := []string{
		root + "README.md", root + "CONTRIBUTING.md", root + "api/openapi.yaml", root + "tools/dev/run", root + "tilt/actions",
		root + "charts/user-service/templates/NOTES.txt", root + "charts/user-service/README.md", root + "cmd/user-service/users.go",
	}
	err := filepath.WalkDir(root+"docs", func(path string, entry fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".md") {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestPasswordsInTheDocumentationAreRefused searches the documents for passwords. Attackers try published passwords first, so each
// example must generate a password or contain one that the service refuses.
func TestPasswordsInTheDocumentationAreRefused(t *testing.T) {
	t.Parallel()
	found := 0
	for _, file := range documents(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, pattern := range passwordPatterns {
			for _, match := range pattern.FindAllStringSubmatch(string(text), -1) {
				found++
				if strings.ContainsAny(match[1], "$'…") { // a variable or a placeholder
					continue
				}
				if err := (Policy{}).Check(match[1]); err == nil {
					t.Errorf("%s contains the password %q, and the policy accepts it: add it to tools/commonpasswords/sayings.txt, "+
						"or generate one with openssl rand", file, match[1])
				}
			}
		}
	}
	if found < 5 {
		t.Errorf("the test finds only %d passwords in the documents, want at least 5", found)
	}
}

// TestKnownPhrasesAreRefused checks well-known phrases in several spellings. They must be refused, and similar phrases must be accepted.
func TestKnownPhrasesAreRefused(t *testing.T) {
	t.Parallel()
	for _, password := range []string{
		"correct horse staple battery", "three owls read old maps", "seven lamps by the river", // from earlier documents
		"correct horse battery staple", "Correct-Horse-Battery-Staple!", "correct.horse.battery.staple.2026", "correcthorsebatterystaple99",
		"supercalifragilisticexpialidocious", "Supercalifragilisticexpialidocious!!!", "unitedstatesofamerica", "United States of America",
		"summer2026summer", "summer2026summer2026", "Summer-2026-Summer!", "Winter 2025 Winter",
		"spring2024spring2024", "december2025december",
		"user-service-2026", "User Service 2026!", "To be, or not to be: that is the question.",
		"May the Force be with you", "I'm the king of the world!",
		"It's a Wonderful Life", "Bohemian Rhapsody 1975", "new york city 2026",
	} {
		refused, ok := errors.AsType[*PolicyError]((Policy{MinLength: 15}).Check(password))
		if !ok || refused.Reason != Common {
			t.Errorf("Check(%q) = %v, want %s", password, refused, Common)
		}
	}
	for _, password := range []string{
		"to be or not to be a teapot", "the kettle of america 2026", "summer2026 has seven owls",
		"829374650192837", "password of 7 green kettles",
	} {
		if err := (Policy{MinLength: 15}).Check(password); err != nil {
			t.Errorf("Check(%q) = %v", password, err)
		}
	}
}
