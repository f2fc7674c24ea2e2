package httpapi_test

import (
	"strings"
	"testing"

	"user-service/pkg/user"
)

// TestAHashOfTooMuchMemoryLogsNobodyIn, imported or planted: it counts as a failure of its account, and the operator is told.
func TestAHashOfTooMuchMemoryLogsNobodyIn(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, admin := s.register(), s.admin()
	const huge = "$argon2id$v=19$m=524288,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI"
	s.execute(`UPDATE credentials SET password_hash = $1 WHERE user_id = $2`, huge, a.ID)
	s.call("POST", "/login", map[string]any{"email": a.Email, "password": a.password}).wantProblem(t, 401, "invalid-credentials")
	got := decode[struct{ Items []entry }](t, s.call("GET", "/audit-events?action=authn_login_fail&user_id="+a.ID.String(), nil, as(admin.token)).want(t, 200))
	if len(got.Items) != 1 {
		t.Errorf("%+v, want one failure", got.Items)
	}
	if logs := s.logs.String(); !strings.Contains(logs, "ARGON2_MEMORY_KIB") || strings.Contains(logs, "c29tZXNhbHQ") {
		t.Errorf("the log has to tell what would admit the hash, and not the hash: %s", logs)
	}
	importer, err := s.users.NewImporter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	errs := importer.Check(user.Import{Email: "b@example.com", PasswordHash: huge})
	if len(errs) != 1 || !strings.Contains(errs[0].Detail, "ARGON2_MEMORY_KIB") {
		t.Errorf("%+v, want to be told what admits it", errs)
	}
}
