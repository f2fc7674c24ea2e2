package httpapi_test

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/user"
	"user-service/pkg/workload"
	"user-service/pkg/workload/workloadtest"
)

// withWorkloads starts the API with an issuer of workloads. The ServiceAccount shop/orders has the roles.
func withWorkloads(t *testing.T, roles []string, change ...func(*settings)) (*server, *workloadtest.Issuer) {
	t.Helper()
	issuer := workloadtest.New(t)
	s := start(t, append(change, func(set *settings) { set.cfg.Workloads = workload.New(issuer.Config(roles...)) })...)
	return s, issuer
}

// putRole creates or replaces a role.
func (s *server) putRole(admin account, name string, permissions ...access.Permission) {
	s.t.Helper()
	s.call("PUT", "/roles/"+name, map[string]any{"permissions": append([]access.Permission{}, permissions...)},
		as(admin.token)).want(s.t, 200)
}

func TestAWorkloadReadsAUser(t *testing.T) {
	t.Parallel()
	s, issuer := withWorkloads(t, []string{"reader"})
	admin, ada := s.admin(), s.register()
	token := issuer.Token(t, nil)
	s.call("GET", ada.path(), nil, as(token)).wantProblem(t, 403, "forbidden") // the role does not exist yet
	s.putRole(admin, "reader", access.UsersRead)
	if got := decode[user.User](t, s.call("GET", ada.path(), nil, as(token)).want(t, 200)); got.Email != ada.Email {
		t.Errorf("the email is %q, want %q", got.Email, ada.Email)
	}
	s.call("GET", "/users/"+uuid.NewString(), nil, as(token)).wantProblem(t, 404, "not-found")
	s.call("PATCH", ada.path(), `{"name":"Ada"}`, as(token)).wantProblem(t, 403, "forbidden")
	s.putRole(admin, "reader")
	s.call("GET", ada.path(), nil, as(token)).wantProblem(t, 403, "forbidden")
	s.putRole(admin, "reader", access.UsersRead)
	s.call("GET", ada.path(), nil, as(token)).want(t, 200)
	s.call("DELETE", "/roles/reader", nil, as(admin.token)).want(t, 204)
	s.call("GET", ada.path(), nil, as(token)).wantProblem(t, 403, "forbidden")
}

func TestTokensOfWorkloadsAreRefused(t *testing.T) {
	t.Parallel()
	s, issuer := withWorkloads(t, []string{access.Admin})
	key := workloadtest.NewKey(t)
	for name, token := range map[string]string{
		"another audience": issuer.Token(t, map[string]any{"aud": "other"}),
		"expired":          issuer.Token(t, map[string]any{"exp": 1}),
		"a forged issuer":  key.Sign(t, issuer.Claims(nil), nil),
		"another issuer":   issuer.Token(t, map[string]any{"iss": "https://issuer.example"}),
		"the own issuer":   issuer.Token(t, map[string]any{"iss": "user-service"}),
	} {
		refused := s.call("GET", "/users", nil, as(token))
		refused.wantProblem(t, 401, "invalid-access-token")
		if got := refused.header.Get("WWW-Authenticate"); !strings.Contains(got, `error="invalid_token"`) {
			t.Errorf("%s: WWW-Authenticate is %q, want the error invalid_token", name, got)
		}
	}
	other := issuer.Token(t, map[string]any{"sub": "system:serviceaccount:shop:other"})
	s.call("GET", "/users", nil, as(other)).wantProblem(t, 403, "forbidden")
	s.call("GET", "/verify", nil, as(other)).wantProblem(t, 403, "forbidden")
	s.call("GET", "/users", nil, as(issuer.Token(t, nil))).want(t, 200)

	without := start(t)
	without.call("GET", "/users", nil, as(issuer.Token(t, nil))).wantProblem(t, 401, "invalid-access-token")
}

// TestAnUnavailableIssuerIsAnOverload sends a request before the service has fetched the keys.
func TestAnUnavailableIssuerIsAnOverload(t *testing.T) {
	t.Parallel()
	s, issuer := withWorkloads(t, []string{access.Admin})
	issuer.Answer(workloadtest.DiscoveryPath, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadGateway) })
	refused := s.call("GET", "/users", nil, as(issuer.Token(t, nil)))
	refused.wantProblem(t, 503, "unavailable")
	if refused.header.Get("Retry-After") != "10" {
		t.Errorf("Retry-After is %q, want 10", refused.header.Get("Retry-After"))
	}
	s.call("GET", "/users/me", nil, as(s.register().token)).want(t, 200)
}

// TestEveryOperationForAWorkload calls each operation of api/openapi.yaml as a workload with all permissions and as one without roles.
func TestEveryOperationForAWorkload(t *testing.T) {
	t.Parallel()
	s, issuer := withWorkloads(t, []string{access.Admin})
	admin := s.admin()
	all, none := issuer.Token(t, nil), issuer.Token(t, map[string]any{"sub": "system:serviceaccount:shop:other"})
	for path, item := range contract.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			name := operation.OperationID
			op := operations[name]
			isVerify := strings.HasPrefix(path, "/verify")
			status := op.status
			if !op.who.anyone && op.who.permission == "" && !isVerify {
				status = 403
			}
			if !op.who.anyone {
				s.callAbout(s.register(), method, path, name, "a workload without roles", none, 403)
			}
			s.putRole(admin, "spare")
			s.callAbout(s.register(), method, path, name, "a workload", all, status)
		}
	}
}

// TestMeIsNotAWorkload sends requests with me in place of a user's id.
func TestMeIsNotAWorkload(t *testing.T) {
	t.Parallel()
	s, issuer := withWorkloads(t, []string{access.Admin})
	admin := s.admin()
	token := issuer.Token(t, nil)
	for _, request := range []struct {
		method, path string
		body         any
	}{
		{"GET", "/users/me", nil},
		{"PUT", "/users/me", map[string]any{"email": "ada@example.com"}},
		{"DELETE", "/users/me", nil},
		{"PUT", "/users/me/roles", `{"roles":[]}`},
		{"PUT", "/users/me/password", change(goodPassword, newPassword)},
		{"GET", "/users/me/sessions", nil},
		{"DELETE", "/users/me/sessions", nil},
		{"GET", "/users/me/export", nil},
		{"GET", "/audit-events?user_id=me", nil},
		{"POST", "/email-verification", nil},
		{"POST", "/logout", nil},
	} {
		s.call(request.method, request.path, request.body, as(token)).wantProblem(t, 403, "forbidden")
	}
	s.call("GET", "/users/"+uuid.Nil.String(), nil, as(token)).wantProblem(t, 404, "not-found")
	s.putRole(admin, "empty")
	poor := issuer.Config("empty")
	weak := start(t, func(set *settings) { set.database, set.cfg.Workloads = s.dsn, workload.New(poor) })
	for _, method := range []string{"GET", "DELETE"} { // the nil UUID stands for no user
		weak.call(method, "/users/"+uuid.Nil.String(), nil, as(token)).wantProblem(t, 403, "forbidden")
	}
}

func TestVerifyDescribesAWorkload(t *testing.T) {
	t.Parallel()
	s, issuer := withWorkloads(t, []string{"reader", "unknown", "clerk"})
	admin := s.admin()
	s.putRole(admin, "reader", access.UsersRead)
	s.putRole(admin, "clerk", "orders:refund", access.UsersRead)
	got := s.call("GET", "/verify", nil, as(issuer.Token(t, nil))).want(t, 204)
	for name, want := range map[string]string{
		"X-User-Id": "workload:" + workloadtest.Subject, "X-User-Email-Verified": "false", "X-User-Roles": "clerk,reader",
		"X-User-Permissions": "orders:refund,users:read",
	} {
		if got.header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.header.Get(name), want)
		}
	}
}

// TestTheAuditTrailNamesTheWorkload checks the entries of a change and of a denied request.
func TestTheAuditTrailNamesTheWorkload(t *testing.T) {
	t.Parallel()
	s, issuer := withWorkloads(t, []string{"clerk"})
	admin, ada := s.admin(), s.register()
	s.putRole(admin, "clerk", access.UsersWrite)
	token := issuer.Token(t, nil)
	s.call("PATCH", ada.path(), `{"name":"Ada"}`, as(token)).want(t, 200)
	s.call("GET", ada.path(), nil, as(token)).wantProblem(t, 403, "forbidden")
	other := issuer.Token(t, map[string]any{"sub": "system:serviceaccount:shop:other"})
	s.call("GET", ada.path(), nil, as(other)).wantProblem(t, 403, "forbidden")
	if err := s.api.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	page := decode[struct{ Items []user.AuditEvent }](t, s.call("GET", "/audit-events", nil, as(admin.token)).want(t, 200))
	found := map[string]string{}
	for _, e := range page.Items {
		if strings.HasPrefix(e.Actor, "workload:") {
			found[string(e.Action)+" "+e.Actor] = e.IP
			if e.ActorID != nil {
				t.Errorf("the entry %s has the actor_id %s, want none", e.Action, e.ActorID)
			}
		}
	}
	for _, want := range []string{
		"user_updated workload:" + workloadtest.Subject, "authz_fail workload:" + workloadtest.Subject,
		"authz_fail workload:system:serviceaccount:shop:other",
	} {
		if ip, ok := found[want]; !ok || ip == "" {
			t.Errorf("there is no entry %s with an address, want one in %v", want, found)
		}
	}
}

// TestAWorkloadHasAQuotaOfItsOwn uses up the quota of one workload, from two addresses and with two tokens.
func TestAWorkloadHasAQuotaOfItsOwn(t *testing.T) {
	t.Parallel()
	issuer := workloadtest.New(t)
	cfg := issuer.Config(access.Admin)
	const billing = "spiffe://example.org/billing"
	cfg.Roles[billing] = []string{access.Admin}
	s := start(t, func(set *settings) {
		set.account, set.proxies, set.cfg.Workloads = 3, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, workload.New(cfg)
	})
	ada := s.register()
	patch := func(token, from string) answer {
		return s.call("PATCH", ada.path(), `{"name":"Ada"}`, as(token), header("X-Forwarded-For", from))
	}
	for n := range 3 {
		patch(issuer.Token(t, nil), []string{"192.0.2.1", "198.51.100.1"}[n%2]).want(t, 200)
	}
	refused := patch(issuer.Token(t, nil), "203.0.113.1")
	refused.wantProblem(t, 429, "too-many-requests")
	if got := refused.header.Get("RateLimit-Policy"); !strings.Contains(got, `"account"`) {
		t.Errorf("RateLimit-Policy is %q, want the policy account", got)
	}
	patch(issuer.Token(t, map[string]any{"sub": billing}), "192.0.2.1").want(t, 200)
	s.call("GET", ada.path(), nil, as(issuer.Token(t, nil))).want(t, 200) // reads do not count
}

// TestAWaitingWriteOfAWorkloadIsRefusedAfterItsRoleChanged makes each request wait for a locked row. Meanwhile the role of the workload is
// narrowed or deleted. The request must be refused and must not change anything.
func TestAWaitingWriteOfAWorkloadIsRefusedAfterItsRoleChanged(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"narrowing of the role", "deletion of the role"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s, issuer := withWorkloads(t, []string{"operator"})
			other := start(t, func(set *settings) { set.database = s.dsn })
			admin, conn := s.admin(), s.connect()
			defer func() { _ = conn.Close(context.Background()) }()
			for _, w := range writings(t) {
				if w.self {
					continue
				}
				p := s.prepare(w, admin)
				p.caller.token = issuer.Token(t, nil)
				unlock := s.lockTarget(p)
				answered := make(chan answer)
				go func() { answered <- s.sendPending(p) }()
				s.waitForLock()
				losses[how].lose(other, p, s.login(admin)).want(t, losses[how].success)
				before := s.state(conn, p.target.ID)
				unlock()
				if got := <-answered; got.status != 403 {
					t.Errorf("%s: status is %d, want 403: %s", w, got.status, got.body)
				}
				if after := s.state(conn, p.target.ID); after != before {
					t.Errorf("%s is refused but changes the state from\n%s\nto\n%s", w, before, after)
				}
			}
		})
	}
}

// TestAWorkloadGainsNoPrivileges checks that users:write applies only to accounts that have no more permissions than the workload.
func TestAWorkloadGainsNoPrivileges(t *testing.T) {
	t.Parallel()
	s, issuer := withWorkloads(t, []string{"support"})
	admin, ada := s.admin(), s.register()
	s.putRole(admin, "support", access.UsersWrite, access.UsersDelete)
	token := issuer.Token(t, nil)
	for _, method := range []string{"PATCH", "DELETE"} {
		s.call(method, admin.path(), `{"name":"Ada"}`, as(token)).wantProblem(t, 403, "forbidden")
	}
	s.call("DELETE", ada.path(), nil, as(token)).want(t, 204)
}

// counted is an observer that collects the kinds of callers.
type counted struct {
	unobserved
	callers *[]string
}

func (c counted) Authorized(caller string) { *c.callers = append(*c.callers, caller) }

func TestRequestsAreCountedByCaller(t *testing.T) {
	t.Parallel()
	var kinds []string
	s, issuer := withWorkloads(t, []string{access.Admin}, func(set *settings) { set.observer = counted{callers: &kinds} })
	admin := s.admin()
	kinds = nil
	s.call("GET", "/healthz", nil).want(t, 200)
	s.call("GET", "/users", nil, as(admin.token)).want(t, 200)
	s.call("GET", "/users", nil, as(issuer.Token(t, nil))).want(t, 200)
	s.call("GET", "/users", nil).want(t, 401)
	if want := []string{"anonymous", "user", "workload"}; !slices.Equal(kinds, want) {
		t.Errorf("the callers are %v, want %v", kinds, want)
	}
}

// TestWorkloadsDoNotShareIdempotencyKeys sends different requests with the same key by two workloads and a user. Each creates an account.
func TestWorkloadsDoNotShareIdempotencyKeys(t *testing.T) {
	t.Parallel()
	const other = "system:serviceaccount:shop:billing"
	issuer := workloadtest.New(t)
	cfg := issuer.Config(access.Admin)
	cfg.Roles[other] = []string{access.Admin}
	s := start(t, func(set *settings) { set.cfg.Workloads = workload.New(cfg) })
	for email, token := range map[string]string{
		"a@example.com": issuer.Token(t, nil), "b@example.com": issuer.Token(t, map[string]any{"sub": other}),
		"c@example.com": s.admin().token,
	} {
		s.call("POST", "/users", map[string]any{"email": email}, key(`"one"`), as(token)).want(t, 201)
	}
}
