package httpapi_test

import (
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

type page struct {
	Items      []user.User
	NextCursor string `json:"next_cursor"`
}

func TestListPageByPage(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	want := []uuid.UUID{admin.ID}
	for range 24 {
		want = append(want, s.register().ID)
	}
	var got []uuid.UUID
	cursor, pages := "", 0
	for {
		p := decode[page](t, s.call("GET", "/users?limit=7&cursor="+cursor, nil, as(admin.token)).want(t, 200))
		for _, u := range p.Items {
			got = append(got, u.ID)
		}
		pages++
		if cursor = p.NextCursor; cursor == "" {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || pages != 4 {
		t.Errorf("%d pages, want 4; the ids (-want +got):\n%s", pages, diff)
	}
	if n := len(decode[page](t, s.call("GET", "/users", nil, as(admin.token)).want(t, 200)).Items); n != 20 {
		t.Errorf("the default page has %d users, want 20", n)
	}
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	for _, u := range []map[string]any{
		{"email": "ann@x.example", "name": "Zoë Ann"},
		{"email": "anna@x.example"},
		{"email": "bob@x.example", "name": "Änne"},
		{"email": "a_b@x.example", "name": "100% Bob"},
		{"email": "axb@x.example"},
	} {
		u["password"] = goodPassword
		s.call("POST", "/register", u).want(t, 201)
	}
	disabled := s.register()
	s.call("PUT", disabled.path()+"/status", `{"status":"disabled"}`, as(admin.token)).want(t, 200)
	for query, want := range map[string][]string{
		"email=ANN@x.example":            {"ann@x.example"},
		"email=ann":                      nil,
		"q=ann":                          {"ann@x.example", "anna@x.example"},
		"q=ANN":                          {"ann@x.example", "anna@x.example"},
		"q=" + url.QueryEscape("zoë"):    {"ann@x.example"},
		"q=" + url.QueryEscape("Ä"):      {"bob@x.example"},
		"q=a_b":                          {"a_b@x.example"},
		"q=a%25":                         nil,
		"q=100%25":                       {"a_b@x.example"},
		"q=" + url.QueryEscape(`\`):      nil,
		"q=" + url.QueryEscape(`' OR 1`): nil,
		"role=admin":                     {admin.Email},
		"role=nosuch":                    nil,
		"status=disabled":                {disabled.Email},
		"status=disabled&role=admin":     nil,
		"q=ann&status=active&role=user":  {"ann@x.example", "anna@x.example"},
	} {
		var got []string
		for _, u := range decode[page](t, s.call("GET", "/users?"+query, nil, as(admin.token)).want(t, 200)).Items {
			got = append(got, u.Email)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
}

func TestListRefusesBadQueries(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	for _, query := range []string{
		"limit=0", "limit=101", "limit=x", "limit=", "limit=1&limit=2",
		"cursor=x", "cursor=AAAA", "cursor=" + admin.ID.String(), "status=gone",
		"q=%00", "q=%ff", "q=%zz", "email=a%00b", "a;b=1", "email=", "role=", "status=", "q=",
	} {
		s.call("GET", "/users?"+query, nil, as(admin.token)).wantProblem(t, 400, "invalid-parameter")
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, a := s.admin(), s.register()
	roles := decode[struct{ Items []access.Role }](t, s.call("GET", "/roles", nil, as(admin.token)).want(t, 200)).Items
	if len(roles) != 2 || roles[0].Name != "admin" || len(roles[0].Permissions) != len(access.Permissions()) ||
		roles[1].Name != "user" || roles[1].Permissions == nil {
		t.Errorf("roles are %+v, want admin with every permission and user with an empty list", roles)
	}
	u := decode[user.User](t, s.call("PUT", a.path()+"/roles", `{"roles":["user","admin","admin"]}`, as(admin.token)).want(t, 200))
	if diff := cmp.Diff([]string{"admin", "user"}, u.Roles); diff != "" || u.Version != 2 {
		t.Errorf("version is %d, want 2; the roles (-want +got):\n%s", u.Version, diff)
	}
	s.call("GET", "/users", nil, as(a.token)).want(t, 200) // the old token has the new role immediately
	s.call("PUT", a.path()+"/roles", `{"roles":[]}`, as(admin.token)).want(t, 200)
	s.call("GET", "/users", nil, as(a.token)).wantProblem(t, 403, "forbidden")
	for body, pointer := range map[string]string{
		`{"roles":["user","king"]}`: "/roles/1", `{"roles":"admin"}`: "/roles", `{}`: "/roles",
		`{"roles":[1]}`: "/roles/0", `{"roles":[null]}`: "/roles/0",
	} {
		p := s.call("PUT", a.path()+"/roles", body, as(admin.token)).wantProblem(t, 422, "validation-failed")
		if !containsPointer(p.Errors, pointer) {
			t.Errorf("%s: errors are %+v, want one for %s", body, p.Errors, pointer)
		}
	}
	s.call("PUT", a.path()+"/status", `{"status":"asleep"}`, as(admin.token)).wantProblem(t, 422, "validation-failed")
}

func TestTheLastAdminStays(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	s.call("PUT", "/users/me/roles", `{"roles":["user"]}`, as(admin.token)).wantProblem(t, 409, "last-admin")
	s.call("PUT", "/users/me/status", `{"status":"disabled"}`, as(admin.token)).wantProblem(t, 409, "last-admin")
	s.call("DELETE", "/users/me", nil, as(admin.token)).wantProblem(t, 409, "last-admin")
	second := s.admin()
	s.call("PUT", second.path()+"/status", `{"status":"disabled"}`, as(admin.token)).want(t, 200)
	s.call("DELETE", "/users/me", nil, as(admin.token)).wantProblem(t, 409, "last-admin") // a disabled admin does not count
	s.call("DELETE", second.path(), nil, as(admin.token)).want(t, 204)
}

// TestConcurrentErasuresLeaveOneAdmin sends eight concurrent requests: each of the eight administrators erases their own account. Exactly
// one erasure must be refused.
func TestConcurrentErasuresLeaveOneAdmin(t *testing.T) {
	t.Parallel()
	s := start(t)
	admins := make([]account, 8)
	for i := range admins {
		admins[i] = s.admin()
	}
	var left atomic.Int32
	var wg sync.WaitGroup
	for _, a := range admins {
		wg.Go(func() {
			if s.call("DELETE", "/users/me", nil, as(a.token)).status == 204 {
				left.Add(1)
			}
		})
	}
	wg.Wait()
	if left.Load() != int32(len(admins)-1) {
		t.Errorf("%d of %d admins are erased, want all but one", left.Load(), len(admins))
	}
}

// TestForbiddenDoesNotRevealTheAccount checks that a 403 is the same whether or not the target exists.
func TestForbiddenDoesNotRevealTheAccount(t *testing.T) {
	t.Parallel()
	s := start(t)
	a, other := s.register(), s.register()
	for _, op := range []struct{ method, suffix, body string }{
		{"GET", "", ""}, {"PUT", "", `{}`}, {"PATCH", "", `{}`}, {"DELETE", "", ""}, {"PUT", "/roles", `{}`}, {"PUT", "/status", `{}`},
	} {
		var body any
		if op.body != "" {
			body = op.body
		}
		var details []string
		for _, id := range []uuid.UUID{other.ID, uuid.Must(uuid.NewV7())} {
			p := s.call(op.method, fmt.Sprintf("/users/%s%s", id, op.suffix), body, as(a.token)).wantProblem(t, 403, "forbidden")
			details = append(details, p.Detail)
		}
		if details[0] != details[1] {
			t.Errorf("%s: details are %q, want the same one twice", op.method, details)
		}
	}
}

func TestAdminsGetNotFoundForUnknownUsers(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	gone := "/users/" + uuid.Must(uuid.NewV7()).String()
	s.call("GET", gone, nil, as(admin.token)).wantProblem(t, 404, "not-found")
	s.call("PUT", gone, map[string]any{"email": "a@example.com"}, as(admin.token)).wantProblem(t, 404, "not-found")
	s.call("PATCH", gone, `{}`, as(admin.token)).wantProblem(t, 404, "not-found")
	s.call("DELETE", gone, nil, as(admin.token)).wantProblem(t, 404, "not-found")
	s.call("PUT", gone+"/roles", `{"roles":["user"]}`, as(admin.token)).wantProblem(t, 404, "not-found")
	s.call("PUT", gone+"/status", `{"status":"active"}`, as(admin.token)).wantProblem(t, 404, "not-found")
}

func TestMalformedIDs(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	for _, id := range []string{
		"1", "ME", "0196e4c2-0000-7000-8000-00000000000g", "{" + a.ID.String() + "}", "urn:uuid:" + a.ID.String(), "%00", "%F0%9F%98%80",
	} {
		s.call("GET", "/users/"+id, nil, as(a.token)).wantProblem(t, 400, "invalid-parameter")
		s.call("GET", "/users/"+id, nil).wantProblem(t, 401, "authentication-required")
	}
}
