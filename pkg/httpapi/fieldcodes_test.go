package httpapi_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"user-service/pkg/password"
	"user-service/pkg/user"
)

// TestEachFieldErrorHasACode checks the machine-readable code of each field error, and the parameters for a message.
func TestEachFieldErrorHasACode(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	a := s.register()
	type fields []user.FieldError
	expected := func(typ string) map[string]any { return map[string]any{"expected": typ} }
	allowed := map[string]any{"allowed": []any{"active", "disabled"}}
	const invalid = `{"email":"x","password":"short","name":"\u200b","locale":1,"picture":"http://x.example",` +
		`"zoneinfo":"Mars/Base","plan":"pro"}`
	for name, c := range map[string]struct {
		method, path string
		body         any
		by           string
		want         fields
	}{
		"registration": {"POST", "/register", invalid, "", fields{
			{Pointer: "/email", Code: user.InvalidFormat},
			{Pointer: "/locale", Code: user.InvalidType, Params: expected("string")},
			{Pointer: "/name", Code: user.Invisible},
			{Pointer: "/password", Code: "too_short", Params: map[string]any{"min": 15.0}},
			{Pointer: "/picture", Code: user.InvalidFormat},
			{Pointer: "/plan", Code: user.Unknown},
			{Pointer: "/zoneinfo", Code: user.InvalidValue},
		}},
		"nothing": {"POST", "/register", `{}`, "", fields{
			{Pointer: "/email", Code: user.Required}, {Pointer: "/password", Code: user.Required},
		}},
		"common password": {"POST", "/register", `{"email":"a@example.com","password":"passwordpassword"}`, "", fields{
			{Pointer: "/password", Code: "common"},
		}},
		"metadata": {"PATCH", "/users/me", `{"metadata":[]}`, a.token, fields{
			{Pointer: "/metadata", Code: user.InvalidType, Params: expected("object")},
		}},
		"large number": {"PATCH", "/users/me", `{"metadata":{"n":1e400}}`, a.token, fields{{Pointer: "/metadata", Code: user.OutOfRange}}},
		"read-only":    {"PATCH", "/users/me", `{"id":"x"}`, a.token, fields{{Pointer: "/id", Code: user.ReadOnly}}},
		"status": {"PUT", a.path() + "/status", `{"status":"gone"}`, admin.token, fields{
			{Pointer: "/status", Code: user.InvalidValue, Params: allowed},
		}},
		"roles": {"PUT", a.path() + "/roles", `{"roles":["nothing",1]}`, admin.token, fields{
			{Pointer: "/roles/1", Code: user.InvalidType, Params: expected("string")},
		}},
		"unknown role": {"PUT", a.path() + "/roles", `{"roles":["nothing"]}`, admin.token, fields{
			{Pointer: "/roles/0", Code: user.UnknownRole},
		}},
	} {
		got := decode[struct{ Errors fields }](t, s.call(c.method, c.path, c.body, as(c.by)).want(t, 422)).Errors
		for i := range got {
			if got[i].Detail == "" {
				t.Errorf("%s: the error of %s has no detail, want one", name, got[i].Pointer)
			}
			got[i].Detail = ""
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestTheCodesAreThoseOfTheContract compares the codes with the enum in api/openapi.yaml and the table in docs/problems.md.
func TestTheCodesAreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	want := []string{
		string(password.NotUTF8), string(password.TooShort), string(password.Personal),
		string(password.Repeated), string(password.Sequence), string(password.Common),
	}
	for _, code := range []user.FieldCode{
		user.Required, user.Unknown, user.ReadOnly, user.InvalidType, user.InvalidFormat, user.InvalidValue, user.InvalidCharacters,
		user.Invisible, user.OutOfRange, user.TooLong, user.TooLarge, user.TooMany, user.UnknownRole, user.Breached, user.Incorrect,
	} {
		want = append(want, string(code))
	}
	if string(password.TooLong) != string(user.TooLong) {
		t.Errorf("the code for a too long password is %q, want %q", password.TooLong, user.TooLong)
	}
	var got []string
	for _, value := range contract.doc.Components.Schemas["FieldError"].Value.Properties["code"].Value.Enum {
		got = append(got, value.(string))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the enum (-code +description):\n%s", diff)
	}
	page, err := os.ReadFile("../../docs/problems.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_0-9]+)` \\|").FindAllSubmatch(page, -1) {
		listed = append(listed, string(row[1]))
	}
	slices.Sort(listed)
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("the table (-code +page):\n%s", diff)
	}
}

// TestProblemsHaveNoHTMLEscapes reads the detail about the Authorization header, and a path with an ampersand.
func TestProblemsHaveNoHTMLEscapes(t *testing.T) {
	t.Parallel()
	s := start(t)
	for path, want := range map[string]string{
		"/users/me": `"Send an access token: Authorization: Bearer <token>."`, "/else/a&b": `"instance":"/else/a&b"`,
	} {
		if got := s.call("GET", path, nil); !strings.Contains(string(got.body), want) {
			t.Errorf("%s: the problem is %s, want %s in it", path, got.body, want)
		}
	}
}
