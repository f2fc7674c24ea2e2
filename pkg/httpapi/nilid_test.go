package httpapi_test

import (
	"testing"

	"github.com/google/uuid"

	"user-service/pkg/user"
)

// TestNilUUIDIsNotAUser sends the nil UUID as the user id to the routes that have one. In the code, uuid.Nil stands for "no user".
func TestNilUUIDIsNotAUser(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	path := "/users/" + uuid.Nil.String()
	before := s.execute(`UPDATE outbox SET type = type`)
	for _, request := range []struct {
		method, path string
		body         any
	}{
		{"GET", path, nil},
		{"PUT", path, map[string]any{"email": "ada@example.com"}},
		{"PATCH", path, map[string]any{"name": "Ada"}},
		{"DELETE", path, nil},
		{"PUT", path + "/roles", map[string]any{"roles": []string{}}},
		{"PUT", path + "/status", map[string]any{"status": "disabled"}},
		{"POST", path + "/password-reset", nil},
		{"GET", path + "/sessions", nil},
		{"DELETE", path + "/sessions", nil},
		{"DELETE", path + "/sessions/" + uuid.Nil.String(), nil},
		{"DELETE", admin.path() + "/sessions/" + uuid.Nil.String(), nil},
	} {
		t.Run(request.method+" "+request.path, func(t *testing.T) {
			s.call(request.method, request.path, request.body, as(admin.token)).wantProblem(t, 404, "not-found")
		})
	}
	if after := s.execute(`UPDATE outbox SET type = type`); after != before {
		t.Errorf("%d new events about the nil UUID, want none", after-before)
	}
	page := decode[struct{ Items []user.AuditEvent }](t, s.call("GET", "/audit-events?user_id="+uuid.Nil.String(), nil,
		as(admin.token)).want(t, 200))
	if len(page.Items) > 0 {
		t.Errorf("%d audit entries about the nil UUID, want none", len(page.Items))
	}
}
