package httpapi_test

import (
	"strings"
	"testing"

	"user-service/pkg/user"
)

// TestAHashAboveTheMemoryLimitIsRefused stores a hash that needs too much memory, and imports it for another account. A login of the first
// account must count as a failure. The log and the error of the import must name the setting that would accept the hash.
func TestAHashAboveTheMemoryLimitIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, admin := s.register(), s.admin()
	const huge = "$argon2id$v=19$m=524288,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI"
	s.execute(`UPDATE credentials SET password_hash = $1 WHERE user_id = $2`, huge, a.ID)
	s.call("POST", "/login", map[string]any{"email": a.Email, "password": a.password}).wantProblem(t, 401, "invalid-credentials")
	if got := s.audit(admin.token, "action=authn_login_fail&user_id="+a.ID.String()); len(got) != 1 {
		t.Errorf("entries are %+v, want one failure", got)
	}
	if logs := s.logs.String(); !strings.Contains(logs, "ARGON2_MEMORY_KIB") || strings.Contains(logs, "c29tZXNhbHQ") {
		t.Errorf("the log is %s, want the setting ARGON2_MEMORY_KIB and not the hash", logs)
	}
	importer, err := s.users.NewImporter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	errs := importer.Check(user.Import{Email: "b@example.com", PasswordHash: huge})
	if len(errs) != 1 || !strings.Contains(errs[0].Detail, "ARGON2_MEMORY_KIB") {
		t.Errorf("errors are %+v, want one with ARGON2_MEMORY_KIB", errs)
	}
}
