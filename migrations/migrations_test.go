package migrations

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

var alters = regexp.MustCompile(`(?m)^\s*ALTER TABLE (\w+)`)

// TestNoMigrationWaitsForALockForever requires a lock timeout, because while a statement waits for the lock of a table, all later
// statements on the table wait too.
func TestNoMigrationWaitsForALockForever(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(FS, "*.sql")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		content, err := fs.ReadFile(FS, name)
		if err != nil {
			t.Fatal(err)
		}
		up, _, _ := strings.Cut(string(content), "-- +goose Down")
		for _, at := range alters.FindAllStringSubmatchIndex(up, -1) {
			statement, _, _ := strings.Cut(up[at[0]:], ";")
			if strings.Contains(statement, "VALIDATE CONSTRAINT") { // takes no lock that others wait for
				continue
			}
			if !strings.Contains(up[:at[0]], "lock_timeout") {
				t.Errorf("%s: ALTER TABLE %s without lock_timeout", name, up[at[2]:at[3]])
			}
		}
	}
}
