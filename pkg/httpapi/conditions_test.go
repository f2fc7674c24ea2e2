package httpapi_test

import (
	"crypto/rand"
	"net/http"
	"strings"
	"testing"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// TestPreconditionsAreEvaluated covers every operation whose target has an ETag (RFC 9110 section 13). For each operation it first sends
// preconditions that are false, which must change nothing, and then preconditions that are true.
func TestPreconditionsAreEvaluated(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	a := s.register()
	role := map[string]any{"permissions": []string{"orders:refund"}}
	roleTag := s.call("PUT", "/roles/clerk", role, as(admin.token)).want(t, 200).header.Get("ETag")
	if len(roleTag) < 10 {
		t.Fatalf("the ETag of a role is %q, want at least 10 characters", roleTag)
	}
	get := func() user.User {
		return decode[user.User](t, s.call("GET", a.path(), nil, as(admin.token)).want(t, 200))
	}
	tag := func() string { return s.call("GET", a.path(), nil, as(admin.token)).want(t, 200).header.Get("ETag") }
	for _, c := range []struct {
		name, method, path string
		body               any
		tag                func() string
		status             int
	}{
		{"GET", "GET", a.path(), nil, tag, 200},
		{"PATCH", "PATCH", a.path(), map[string]any{"name": "Ada"}, tag, 200},
		{"PUT", "PUT", a.path(), map[string]any{"email": a.Email, "name": "Bea"}, tag, 200},
		{"roles", "PUT", a.path() + "/roles", map[string]any{"roles": []string{"user", "clerk"}}, tag, 200},
		{"status", "PUT", a.path() + "/status", map[string]any{"status": "disabled"}, tag, 200},
		{"a role", "PUT", "/roles/clerk", map[string]any{"permissions": []string{}}, func() string { return roleTag }, 200},
	} {
		before, current := get(), c.tag()
		for _, failing := range []option{
			header("If-Match", `"99"`), header("If-Match", "W/"+current), header("If-Match", ""), header("If-Match", `"98", "99"`),
			header("If-None-Match", current), header("If-None-Match", "*"), header("If-None-Match", `"99", W/`+current),
		} {
			want := 412
			got := s.call(c.method, c.path, c.body, as(admin.token), failing)
			if c.method == "GET" && got.status == 304 {
				want = 304 // a GET with If-None-Match
			}
			if got.status != want {
				t.Errorf("%s: status is %d, want %d", c.name, got.status, want)
			}
		}
		send := func(ifMatch, ifNoneMatch string) answer {
			return s.call(c.method, c.path, c.body, as(admin.token), header("If-Match", ifMatch), header("If-None-Match", ifNoneMatch))
		}
		send(current, current).want(t, map[bool]int{true: 304, false: 412}[c.method == "GET"])
		send(`"99"`, current).want(t, 412) // If-Match is evaluated first
		if after := get(); after.Version != before.Version {
			t.Errorf("%s: after the refusals the version is %d, want %d", c.name, after.Version, before.Version)
		}
		send(`"99", `+current, `"99"`).want(t, c.status)
	}
	s.call("DELETE", a.path(), nil, as(admin.token), header("If-None-Match", "*")).want(t, 412)
	s.call("DELETE", a.path(), nil, as(admin.token), header("If-Match", "*")).want(t, 204)
}

// TestPreconditionsOfARole covers a role that does not exist yet, an existing role and a deleted role.
func TestPreconditionsOfARole(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	put := func(body string, with ...option) answer {
		return s.call("PUT", "/roles/clerk", body, append(with, as(admin.token))...)
	}
	put(`{"permissions":[]}`, header("If-Match", "*")).wantProblem(t, 412, "precondition-failed")
	put(`{"permissions":[]}`, header("If-Match", `"1"`)).want(t, 412)
	first := put(`{"permissions":["a:b"]}`, header("If-None-Match", "*")).want(t, 200).header.Get("ETag")
	put(`{"permissions":["a:c"]}`, header("If-None-Match", "*")).want(t, 412)
	second := put(`{"permissions":["a:c"]}`, header("If-Match", first)).want(t, 200).header.Get("ETag")
	put(`{"permissions":["a:d"]}`, header("If-Match", first)).want(t, 412)
	if again := put(`{"permissions":["a:c"]}`).want(t, 200).header.Get("ETag"); again != second || again == first {
		t.Errorf("the ETags are %s, %s and %s, want the last two equal and the first different", first, second, again)
	}
	s.call("DELETE", "/roles/clerk", nil, as(admin.token), header("If-Match", first)).want(t, 412)
	s.call("DELETE", "/roles/clerk", nil, as(admin.token), header("If-Match", second)).want(t, 204)
	s.call("DELETE", "/roles/clerk", nil, as(admin.token), header("If-Match", second)).want(t, 404) // existence is checked first
}

// TestPreconditionsAreCheckedInOrder checks that 412 comes after 401, 403, 404 and 422, and before 409.
func TestPreconditionsAreCheckedInOrder(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin, a := s.admin(), s.register()
	other := s.register()
	old := header("If-Match", `"99"`)
	for _, c := range []struct {
		name, method, path string
		body               any
		token              string
		status             int
	}{
		{"no token", "PUT", a.path() + "/roles", `{"roles":[]}`, "x", 401},
		{"not allowed", "PUT", a.path() + "/roles", `{"roles":[]}`, a.token, 403},
		{"no such user", "PUT", "/users/00000000-0000-7000-8000-000000000000/status", `{"status":"active"}`, admin.token, 404},
		{"an unknown role", "PUT", a.path() + "/roles", `{"roles":["nothing"]}`, admin.token, 422},
		{"a bad status", "PUT", a.path() + "/status", `{"status":"gone"}`, admin.token, 422},
		{"the last admin's roles", "PUT", admin.path() + "/roles", `{"roles":[]}`, admin.token, 412},
		{"the last admin's status", "PUT", admin.path() + "/status", `{"status":"disabled"}`, admin.token, 412},
		{"the last admin", "DELETE", admin.path(), nil, admin.token, 412},
		{"a taken email", "PATCH", a.path(), map[string]any{"email": other.Email}, admin.token, 412},
		{"a built-in role", "DELETE", "/roles/" + access.User, nil, admin.token, 412},
		{"admin without a permission", "PUT", "/roles/" + access.Admin, `{"permissions":[]}`, admin.token, 412},
	} {
		if got := s.call(c.method, c.path, c.body, as(c.token), old).status; got != c.status {
			t.Errorf("%s: status is %d, want %d", c.name, got, c.status)
		}
	}
	s.call("DELETE", "/roles/"+access.User, nil, as(admin.token)).want(t, 409)
	s.call("PUT", "/roles/"+access.Admin, `{"permissions":[]}`, as(admin.token)).want(t, 409)
}

// checkIfMatch checks If-Match on GET and HEAD requests for a path that anonymous callers may read.
func checkIfMatch(t *testing.T, s *server, path string) {
	t.Helper()
	current := s.call("GET", path, nil).want(t, 200).header.Get("ETag")
	for _, value := range []string{`"99"`, "W/" + current, "", strings.Trim(current, `"`)} {
		s.call("GET", path, nil, header("If-Match", value)).wantProblem(t, 412, "precondition-failed")
		s.call("HEAD", path, nil, header("If-Match", value)).want(t, 412)
		s.call("GET", path, nil, header("If-Match", value), header("If-None-Match", current)).want(t, 412) // If-Match decides first
	}
	for _, value := range []string{current, "*", `"99", ` + current} {
		s.call("GET", path, nil, header("If-Match", value)).want(t, 200)
		s.call("GET", path, nil, header("If-Match", value), header("If-None-Match", current)).want(t, 304)
	}
}

// line adds a line to the header. Another line of the same name stays.
func line(name, value string) option { return func(r *http.Request) { r.Header.Add(name, value) } }

// TestOneMailboxIsOneAccount spells one email with the Unicode form and the ASCII form of its domain, with blanks, and in another case. All
// spellings must belong to the same account.
func TestOneMailboxIsOneAccount(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	local := strings.ToLower(rand.Text())
	a := s.registerAs("  " + local + "@bücher.example ")
	if a.Email != local+"@bücher.example" {
		t.Errorf("the email is %q, want it without the blanks at both ends", a.Email)
	}
	ascii := local + "@xn--bcher-kva.example"
	for _, other := range []string{ascii, strings.ToUpper(ascii), local + "@BÜCHER.example", " " + ascii} {
		body := map[string]any{"email": other, "password": goodPassword}
		s.call("POST", "/register", body).wantProblem(t, 409, "email-taken")
		if got := s.login(account{User: user.User{Email: other}, password: goodPassword}); got.token == "" {
			t.Errorf("a login as %q returns no token, want one", other)
		}
	}
	for _, query := range []string{"email=" + ascii, "q=" + ascii, "q=" + strings.ToUpper(local) + "@b%C3%BC"} {
		page := decode[struct{ Items []user.User }](t, s.call("GET", "/users?"+query, nil, as(admin.token)).want(t, 200))
		if len(page.Items) != 1 || page.Items[0].ID != a.ID {
			t.Errorf("%s finds %d users, want only the registered one", query, len(page.Items))
		}
	}
}

// TestConditionsOnSeveralLines checks that several lines of a condition are one list (RFC 9110 section 5.3).
func TestConditionsOnSeveralLines(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	current := s.call("GET", "/users/me", nil, as(a.token)).want(t, 200).header.Get("ETag")
	for path, tag := range map[string]string{
		"/users/me": current, "/openapi.json": s.call("GET", "/openapi.json", nil).want(t, 200).header.Get("ETag"),
	} {
		for _, c := range []struct {
			name          string
			first, second string
			status        int
		}{
			{"If-Match", `"98"`, tag, 200},
			{"If-Match", tag, `"98"`, 200},
			{"If-Match", `"98"`, `"99"`, 412},
			{"If-None-Match", `"98"`, tag, 304},
			{"If-None-Match", tag, `"98"`, 304},
			{"If-None-Match", `"98"`, `"99"`, 200},
		} {
			if got := s.call("GET", path, nil, as(a.token), line(c.name, c.first), line(c.name, c.second)).status; got != c.status {
				t.Errorf("%s with %s %s and %s: status is %d, want %d", path, c.name, c.first, c.second, got, c.status)
			}
		}
	}
	change := map[string]any{"name": "Ada"}
	s.call("PATCH", "/users/me", change, as(a.token), line("If-Match", `"98"`), line("If-Match", `"99"`)).want(t, 412)
	s.call("PATCH", "/users/me", change, as(a.token), line("If-None-Match", `"98"`), line("If-None-Match", current)).want(t, 412)
	s.call("PATCH", "/users/me", change, as(a.token), line("If-Match", `"98"`), line("If-Match", current)).want(t, 200)
}
