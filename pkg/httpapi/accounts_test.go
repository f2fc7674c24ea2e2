package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

func TestRegisterReturnsTheUser(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.call("POST", "/register", map[string]any{
		"email": "Ada@Example.COM", "password": goodPassword, "name": "Ada Lovelace", "picture": "https://example.com/ada.png",
		"locale": "en-GB", "zoneinfo": "Europe/London", "metadata": map[string]any{"plan": "pro"},
	}).want(t, 201)
	u := decode[user.User](t, a)
	want := user.User{
		ID: u.ID, Email: "Ada@Example.COM", Roles: []string{"user"}, Status: user.Active, Version: 1,
		CreatedAt: u.CreatedAt, UpdatedAt: u.CreatedAt,
		Profile: user.Profile{
			Name: "Ada Lovelace", Picture: "https://example.com/ada.png", Locale: "en-GB", Zoneinfo: "Europe/London",
			Metadata: json.RawMessage(`{"plan":"pro"}`),
		},
	}
	if diff := cmp.Diff(want, u); diff != "" {
		t.Errorf("the user (-want +got):\n%s", diff)
	}
	if u.ID.Version() != 7 {
		t.Errorf("id is a UUIDv%d, want a UUIDv7", u.ID.Version())
	}
	if since := time.Since(u.CreatedAt); since < -time.Minute || since > time.Minute {
		t.Errorf("created_at is %s, want about the current time", u.CreatedAt)
	}
	for k, v := range map[string]string{
		"Location": "users/" + u.ID.String(), "ETag": `"1"`, "Cache-Control": "no-store", "Content-Type": jsonType,
	} {
		if got := a.header.Get(k); got != v {
			t.Errorf("%s is %q, want %q", k, got, v)
		}
	}
}

func TestRegisterReportsAllErrors(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.call("POST", "/register", `{"email":"nobody","password":"short","name":7,"picture":"http://x/y.png","locale":"en_US",`+
		`"zoneinfo":"Mars/Base","metadata":[1],"roles":["admin"],"a/b~c":1}`)
	p := a.wantProblem(t, 422, "validation-failed")
	var pointers []string
	for _, e := range p.Errors {
		pointers = append(pointers, e.Pointer)
	}
	want := []string{"/a~1b~0c", "/email", "/locale", "/metadata", "/name", "/password", "/picture", "/roles", "/zoneinfo"}
	if diff := cmp.Diff(want, pointers); diff != "" {
		t.Errorf("pointers of the errors (-want +got):\n%s", diff)
	}
}

// refusal is a request that the service refuses, and the problem that it returns.
type refusal struct {
	body    string
	options []option
	status  int
	problem string
	pointer string // the pointer of one of the errors, or empty
}

func TestRegisterRefusesInvalidRequests(t *testing.T) {
	t.Parallel()
	s := start(t)
	nested := strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)
	longPassword := `{"email":"a@b.c","password":"` + strings.Repeat("ab c", 33) + `"}`
	ownEmail := `{"email":"grace.hopper@navy.mil","password":"Grace.Hopper@navy.mil"}`
	as415 := func(body string, options ...option) refusal {
		return refusal{body: body, options: options, status: 415, problem: "unsupported-media-type"}
	}
	as422 := func(body, pointer string) refusal {
		return refusal{body: body, status: 422, problem: "validation-failed", pointer: pointer}
	}
	secondType := func(r *http.Request) { r.Header.Add("Content-Type", "text/plain") }
	secondEncoding := func(r *http.Request) { r.Header["Content-Encoding"] = []string{"identity", "gzip"} }
	for name, c := range map[string]refusal{
		"empty body":            {body: "", status: 400, problem: "malformed-request"},
		"no JSON":               {body: "email=a", status: 400, problem: "malformed-request"},
		"cut off":               {body: `{"email":"a@b.c"`, status: 400, problem: "malformed-request"},
		"two values":            {body: `{} {}`, status: 400, problem: "malformed-request"},
		"a list":                {body: `[]`, status: 400, problem: "malformed-request"},
		"null":                  {body: `null`, status: 400, problem: "malformed-request"},
		"duplicate field":       {body: `{"email":"a@b.c","email":"d@e.f"}`, status: 400, problem: "malformed-request"},
		"duplicate in metadata": {body: `{"metadata":{"a":1,"a":2}}`, status: 400, problem: "malformed-request"},
		"invalid UTF-8":         {body: "{\"email\":\"\xff@b.c\"}", status: 400, problem: "malformed-request"},
		"lone surrogate":        {body: `{"name":"\ud800"}`, status: 400, problem: "malformed-request"},
		"deep nesting":          {body: `{"metadata":` + nested + `}`, status: 400, problem: "malformed-request"},
		"very deep nesting":     {body: `{"metadata":` + strings.Repeat("[", 30000), status: 400, problem: "malformed-request"},
		"byte order mark":       {body: "\ufeff{}", status: 400, problem: "malformed-request"},
		"NUL in a value":        as422(`{"name":"a\u0000b"}`, "/name"),
		"NUL deep in metadata":  as422(`{"metadata":{"a":["\u0000"]}}`, "/metadata/a/0"),
		"NUL in a name":         as422(`{"metadata":{"\u0000":1}}`, "/metadata/\x00"),
		"too large":             {body: `{"name":"` + strings.Repeat("x", 70_000) + `"}`, status: 413, problem: "content-too-large"},
		"form":                  as415(`{}`, header("Content-Type", "application/x-www-form-urlencoded")),
		"no content type":       as415(`{}`, func(r *http.Request) { r.Header.Del("Content-Type") }),
		"other charset":         as415(`{}`, header("Content-Type", "application/json; charset=latin1")),
		"gzip":                  as415(`{}`, header("Content-Encoding", "gzip")),
		"two content types":     as415(`{}`, secondType),
		"a second encoding":     as415(`{}`, secondEncoding),
		"merge patch":           as415(`{}`, mergePatch()),
		"common password":       as422(`{"email":"a@b.c","password":"passwordpassword"}`, "/password"),
		"long password":         as422(longPassword, "/password"),
		"own email as password": as422(ownEmail, "/password"),
		"metadata too large":    as422(`{"metadata":{"a":"`+strings.Repeat("x", 8192)+`"}}`, "/metadata"),
		"control in name":       as422(`{"name":"a\nb"}`, "/name"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := s.call("POST", "/register", c.body, append([]option{header("Content-Type", jsonType)}, c.options...)...)
			p := got.wantProblem(t, c.status, c.problem)
			if c.pointer != "" && !containsPointer(p.Errors, c.pointer) {
				t.Errorf("errors are %+v, want one for %s", p.Errors, c.pointer)
			}
		})
	}
}

// TestErrorsOfAHostileBodyAreBounded sends bodies with thousands of errors. In one body, the pointer to each error has thousands of bytes.
// The response must list at most 100 errors in 64 KiB.
func TestErrorsOfAHostileBodyAreBounded(t *testing.T) {
	t.Parallel()
	s := start(t)
	nest := func(values string) string {
		const levels = 60
		member := fmt.Sprintf(`{"%s":`, strings.Repeat("k", 300))
		return strings.Repeat(member, levels) + values + strings.Repeat("}", levels)
	}
	nuls := "[" + strings.Repeat(`"\u0000",`, 4500) + `""]`
	var unknown strings.Builder
	for n := range 5000 {
		fmt.Fprintf(&unknown, `"m%d":1,`, n)
	}
	for name, body := range map[string]string{
		"NULs deep":      `{"metadata":` + nest(nuls) + `}`,
		"NULs":           `{"metadata":` + nuls + `}`,
		"unknown fields": `{` + unknown.String() + `"name":"a"}`,
	} {
		for _, path := range []string{"/login", "/register", "/refresh"} {
			answer := s.call("POST", path, body, header("Content-Type", jsonType))
			if p := answer.wantProblem(t, 422, "validation-failed"); len(p.Errors) > 100 || len(answer.body) > 64<<10 {
				t.Errorf("%s: %s gets %d errors in %d bytes, want at most 100 in %d", path, name, len(p.Errors), len(answer.body), 64<<10)
			}
		}
	}
}

// TestUnknownFieldsUseLittleMemory measures the memory that a request with thousands of unknown fields allocates. Many such requests can be
// parsed concurrently, because parsing does not wait for a slot. The test is not parallel, because allocations of other tests would count.
func TestUnknownFieldsUseLittleMemory(t *testing.T) {
	s := start(t)
	var body strings.Builder
	body.WriteString("{")
	for n := range 6000 {
		fmt.Fprintf(&body, `"%d":1,`, n)
	}
	body.WriteString(`"name":"a"}`)
	request := func() {
		req := httptest.NewRequestWithContext(t.Context(), "POST", "/login", strings.NewReader(body.String()))
		req.Header.Set("Content-Type", jsonType)
		answer := httptest.NewRecorder()
		s.Config.Handler.ServeHTTP(answer, req)
		if answer.Code != 422 {
			t.Fatalf("status is %d, want 422", answer.Code)
		}
	}
	request()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		request()
	}
	runtime.ReadMemStats(&after)
	if kib := (after.TotalAlloc - before.TotalAlloc) / 10 >> 10; kib > 4096 {
		t.Errorf("a request of %d bytes allocates %d KiB, want at most 4096 KiB", body.Len(), kib)
	} else {
		t.Logf("a request of %d bytes allocates %d KiB", body.Len(), kib)
	}
}

func containsPointer(errs []user.FieldError, pointer string) bool {
	for _, e := range errs {
		if e.Pointer == pointer {
			return true
		}
	}
	return false
}

func TestRegistrationCanBeDisabled(t *testing.T) {
	t.Parallel()
	s := start(t, func(set *settings) { set.cfg.RegistrationEnabled = false })
	s.call("POST", "/register", map[string]any{"email": "a@example.com", "password": goodPassword}).
		wantProblem(t, 403, "registration-disabled")
	s.call("POST", "/register", `{"email":1}`).wantProblem(t, 403, "registration-disabled")
}

func TestEmailIsUniqueWhateverItsCase(t *testing.T) {
	t.Parallel()
	s := start(t)
	for i, email := range []string{"Ünï@Example.com", "üNÏ@example.COM", "u\u0308ni\u0308@example.com"} {
		status := 201
		if i > 0 {
			status = 409
		}
		s.call("POST", "/register", map[string]any{"email": email, "password": goodPassword}).want(t, status)
	}
}

func TestConcurrentRegistrationsCreateOneAccount(t *testing.T) {
	t.Parallel()
	s := start(t)
	var created, taken, unanswered atomic.Int32
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			email := "same@example.com"
			if i%2 == 0 {
				email = strings.ToUpper(email)
			}
			answer := patiently(func() answer {
				got := s.call("POST", "/register", map[string]any{"email": email, "password": goodPassword})
				if got.status == 503 { // the machine is busy; the account may exist despite the error
					unanswered.Add(1)
				}
				return got
			})
			switch answer.status {
			case 201:
				created.Add(1)
			case 409:
				taken.Add(1)
			}
		})
	}
	wg.Wait()
	lost := int32(0) // 1 if the request that created the account got a 503 on a busy machine
	if unanswered.Load() > 0 && created.Load() == 0 {
		lost = 1
	}
	if created.Load() != 1-lost || taken.Load() != 49+lost {
		t.Errorf("201 %d times, 409 %d times and 503 %d times, want one 201 and 49 times 409",
			created.Load(), taken.Load(), unanswered.Load())
	}
	if pending, _, err := s.db.OutboxBacklog(t.Context()); err != nil || pending != 1 {
		t.Errorf("%d events (error %v), want 1", pending, err)
	}
}

func TestAUserReadsItsOwnAccount(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	for _, path := range []string{"/users/me", a.path()} {
		got := s.call("GET", path, nil, as(a.token)).want(t, 200)
		if diff := cmp.Diff(a.User, decode[user.User](t, got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
		if got.header.Get("Cache-Control") != "no-store" || got.header.Get("ETag") != `"1"` {
			t.Errorf("headers are %v, want no-store and the ETag \"1\"", got.header)
		}
	}
	for tag, status := range map[string]int{`"1"`: 304, `W/"1"`: 304, `*`: 304, `"0", "1"`: 304, `"2"`: 200} {
		s.call("GET", "/users/me", nil, as(a.token), header("If-None-Match", tag)).want(t, status)
	}
	if got := s.call("HEAD", "/users/me", nil, as(a.token)).want(t, 200); len(got.body) != 0 || got.header.Get("ETag") != `"1"` {
		t.Errorf("HEAD returns the headers %v and the body %q, want the ETag \"1\" and no body", got.header, got.body)
	}
}

func TestPutReplacesTheUserAndIgnoresReadOnlyFields(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	first := s.call("PUT", "/users/me", map[string]any{"email": a.Email, "name": "Ada", "locale": "de"}, as(a.token)).want(t, 200)
	u := decode[user.User](t, first)
	if u.Name != "Ada" || u.Locale != "de" || u.Version != 2 || first.header.Get("ETag") != `"2"` {
		t.Errorf("the user is %+v with the ETag %s, want version 2 with the new name and locale", u, first.header.Get("ETag"))
	}
	same := decode[user.User](t, s.call("PUT", "/users/me", string(first.body), as(a.token)).want(t, 200))
	if diff := cmp.Diff(u, same); diff != "" {
		t.Errorf("a PUT of the unchanged user changed it (-before +after):\n%s", diff)
	}
	readOnly := map[string]any{"email": a.Email, "roles": []string{"admin"}, "status": "disabled", "version": 99}
	got := decode[user.User](t, s.call("PUT", "/users/me", readOnly, as(a.token)).want(t, 200))
	want := u
	want.Profile, want.Version, want.UpdatedAt = user.Profile{}, 3, got.UpdatedAt
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the user after a PUT of read-only fields (-want +got):\n%s", diff)
	}
	p := s.call("PUT", "/users/me", `{"name":"x","password":"y"}`, as(a.token)).wantProblem(t, 422, "validation-failed")
	if !containsPointer(p.Errors, "/email") || !containsPointer(p.Errors, "/password") {
		t.Errorf("errors are %+v, want one for /email and one for /password", p.Errors)
	}
}

func TestPatchIsAMergePatch(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	patch := func(body string) answer { return s.call("PATCH", "/users/me", body, as(a.token), mergePatch()) }
	patch(`{"name":"Ada","metadata":{"n":1.10,"big":123456789012345678901234567890,"deep":{"a":1,"b":2},"html":"<&>"}}`).want(t, 200)
	got := s.call("PATCH", "/users/me", `{"metadata":{"deep":{"a":null},"e":1e2},"locale":"fr"}`, as(a.token)).want(t, 200)
	want := `"metadata":{"big":123456789012345678901234567890,"deep":{"b":2},"e":1e2,"html":"<&>","n":1.10}`
	if !strings.Contains(string(got.body), want) {
		t.Errorf("%s\nlacks %s", got.body, want)
	}
	cleared := decode[user.User](t, patch(`{"name":null,"metadata":null,"locale":""}`).want(t, 200))
	if diff := cmp.Diff(user.Profile{}, cleared.Profile); diff != "" {
		t.Errorf("the profile (-want +got):\n%s", diff)
	}
	if p := patch(`{"email":null}`).wantProblem(t, 422, "validation-failed"); !containsPointer(p.Errors, "/email") {
		t.Errorf("errors are %+v, want one for /email", p.Errors)
	}
	half := fmt.Sprintf(`{"metadata":{"%%s":"%s"}}`, strings.Repeat("x", 5000))
	patch(fmt.Sprintf(half, "a")).want(t, 200)
	if p := patch(fmt.Sprintf(half, "b")).wantProblem(t, 422, "validation-failed"); !containsPointer(p.Errors, "/metadata") {
		t.Errorf("errors are %+v, want one for /metadata", p.Errors)
	}
}

func TestIfMatch(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	for _, c := range []struct {
		method, tag string
		status      int
	}{
		{"PATCH", `"7"`, 412},
		{"PATCH", `W/"1"`, 412},
		{"PATCH", `"1"`, 200},
		{"PUT", `"1"`, 412},
		{"PUT", `"9", "2"`, 200},
		{"DELETE", `"2"`, 412},
		{"DELETE", `"3"`, 204},
	} {
		body := any(map[string]any{"email": a.Email, "name": c.method + c.tag})
		if c.method == "DELETE" {
			body = nil
		}
		got := s.call(c.method, "/users/me", body, as(a.token), header("If-Match", c.tag)).want(t, c.status)
		if c.status == 412 {
			got.wantProblem(t, 412, "precondition-failed")
		}
	}
}

func TestLostUpdateIsPrevented(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			got := s.call("PATCH", "/users/me", map[string]any{"name": fmt.Sprint("name ", i)}, as(a.token), header("If-Match", `"1"`))
			if got.status == 200 {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 10 concurrent changes succeeded, want 1", won.Load())
	}
}

func TestChangingOnesEmailNeedsThePassword(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	change := map[string]any{"email": "new-" + a.Email}
	s.call("PATCH", "/users/me", change, as(a.token), mergePatch()).wantProblem(t, 403, "reauthentication-required")
	change["current_password"] = "not my password at all"
	s.call("PUT", "/users/me", change, as(a.token)).wantProblem(t, 403, "reauthentication-required")
	change["current_password"] = a.password
	u := decode[user.User](t, s.call("PATCH", "/users/me", change, as(a.token), mergePatch()).want(t, 200))
	if u.Email != "new-"+a.Email || u.EmailVerified || u.Version != 2 {
		t.Errorf("the user is %+v, want version 2 with the new email, not verified", u)
	}
	other := s.register()
	taken := map[string]any{"email": other.Email, "current_password": a.password}
	s.call("PATCH", "/users/me", taken, as(a.token), mergePatch()).wantProblem(t, 409, "email-taken")
	s.call("PATCH", other.path(), map[string]any{"email": "by-admin@example.com"}, as(s.admin().token), mergePatch()).want(t, 200)
}

func TestDeleteErases(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	s.call("DELETE", "/users/me", nil, as(a.token)).want(t, 204)
	s.call("GET", "/users/me", nil, as(a.token)).wantProblem(t, 401, "invalid-access-token")
	s.call("POST", "/login", map[string]any{"email": a.Email, "password": a.password}).wantProblem(t, 401, "invalid-credentials")
	s.call("POST", "/register", map[string]any{"email": a.Email, "password": a.password}).want(t, 201)
}

// TestAnErasedUserLeavesNoTrace searches the database, except the outbox, for personal data of an erased user: the email, the profile, the
// IP address and the request ids. An administrator's IP address stays in the entry of the erasure and in entries about other users.
func TestAnErasedUserLeavesNoTrace(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"itself", "an admin"} {
		t.Run("erased by "+who, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(set *settings) { set.proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
			const home, office = "198.51.100.7", "203.0.113.9"
			from := func(address, requestID string) option {
				return func(r *http.Request) {
					r.Header.Set("X-Forwarded-For", address)
					r.Header.Set("X-Request-Id", requestID)
				}
			}
			atHome, atOffice := from(home, "ada-at-home"), from(office, "at-the-office")
			a, admin := s.register(), s.admin()
			credentials := map[string]any{"email": a.Email, "password": a.password}
			me := as(decode[tokens](t, s.call("POST", "/login", credentials, atHome).want(t, 200)).AccessToken)
			s.call("POST", "/login", map[string]any{"email": a.Email, "password": newPassword}, atHome).want(t, 401)
			s.call("PATCH", "/users/me", `{"name":"Countess Lovelace","metadata":{"club":"Babbage"}}`, me, atHome).want(t, 200)
			s.call("POST", "/email-verification", nil, me, atHome).want(t, 202)
			other := s.register()
			s.call("PATCH", other.path(), `{"name":"Somebody"}`, as(admin.token), atOffice).want(t, 200)
			s.call("POST", a.path()+"/password-reset", nil, as(admin.token), atOffice).want(t, 202)

			traces := []string{a.Email, "Countess", "Babbage", home, "198.51.100.0/24", "ada-at-home"}
			found := func() (found []string) {
				rows := postgrestest.Rows(t, s.dsn, "outbox")
				for _, trace := range traces {
					if strings.Contains(rows, trace) {
						found = append(found, trace)
					}
				}
				return found
			}
			if diff := cmp.Diff(traces, found()); diff != "" {
				t.Fatalf("stored before the erasure (-want +got):\n%s", diff)
			}
			if who == "itself" {
				s.call("DELETE", "/users/me", nil, me, atHome).want(t, 204)
			} else {
				s.call("DELETE", a.path(), nil, as(admin.token), atOffice).want(t, 204)
			}
			if left := found(); len(left) != 0 {
				t.Errorf("%q are left after the erasure, want nothing", left)
			}
			for _, e := range s.audit(admin.token, "user_id="+a.ID.String()) {
				byAdmin := who == "an admin" && e.Action == string(user.UserDeleted)
				if want := map[bool]string{true: office + " at-the-office", false: " "}[byAdmin]; e.IP+" "+e.RequestID != want {
					t.Errorf("the entry is %+v, want the address and request id %q", e, want)
				}
			}
			if e := s.audit(admin.token, "user_id="+other.ID.String())[0]; e.IP != office || e.RequestID != "at-the-office" {
				t.Errorf("the entry about another user is %+v, want the address %s and the request id at-the-office", e, office)
			}
		})
	}
}
