package httpapi_test

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/postgres/postgrestest"
)

// who describes the callers that an operation allows: anonymous callers, all authenticated callers, the target user, or callers with a
// permission.
type who struct {
	anyone, everybody, self bool
	permission              access.Permission
}

var (
	anyone    = who{anyone: true}
	everybody = who{everybody: true}
	self      = who{self: true}
)

func only(p access.Permission) who   { return who{permission: p} }
func selfOr(p access.Permission) who { return who{self: true, permission: p} }

// operations maps the id of each operation to its allowed callers, the status of its success, and the request body for a target user. The
// test fails if an operation of api/openapi.yaml is missing here.
var operations = map[string]struct {
	who    who
	status int
	body   func(s *server, target account) any
}{
	"register":                 {anyone, 201, newcomer},
	"login":                    {anyone, 200, credentialsOf},
	"refresh":                  {anyone, 200, func(_ *server, a account) any { return map[string]any{"refresh_token": a.refresh} }},
	"logout":                   {everybody, 204, nil},
	"loginWithSecondFactor":    {anyone, 200, secondStepOf},
	"requestPasskey":           {anyone, 200, nil},
	"loginWithPasskey":         {anyone, 200, passkeyLoginOf},
	"verify":                   {everybody, 204, nil},
	"verifyPath":               {everybody, 200, nil},
	"requestPasswordReset":     {anyone, 202, func(_ *server, a account) any { return map[string]any{"email": a.Email} }},
	"confirmPasswordReset":     {anyone, 204, resetOf},
	"requestEmailVerification": {everybody, 202, nil},
	"confirmEmailVerification": {anyone, 204, verificationOf},
	"confirmInvitation":        {anyone, 204, invitationOf},

	"listUsers":         {only(access.UsersRead), 200, nil},
	"inviteUser":        {only(access.UsersWrite), 201, invitee},
	"getUser":           {selfOr(access.UsersRead), 200, nil},
	"replaceUser":       {selfOr(access.UsersWrite), 200, replacementOf},
	"patchUser":         {selfOr(access.UsersWrite), 200, text(`{"name":"Ada"}`)},
	"deleteUser":        {selfOr(access.UsersDelete), 204, nil},
	"setRoles":          {only(access.RolesAssign), 200, text(`{"roles":[]}`)},
	"setStatus":         {only(access.UsersWrite), 200, text(`{"status":"disabled"}`)},
	"changePassword":    {self, 200, func(_ *server, a account) any { return change(a.password, newPassword) }},
	"sendPasswordReset": {only(access.UsersWrite), 202, nil},
	"sendInvitation":    {only(access.UsersWrite), 202, withoutPassword},
	"listSessions":      {selfOr(access.UsersRead), 200, nil},
	"endSessions":       {selfOr(access.UsersWrite), 204, nil},
	"endSession":        {selfOr(access.UsersWrite), 204, nil},
	"exportUser":        {selfOr("users:read and audit:read"), 200, nil}, // only the admin has both

	"listFactors":      {selfOr(access.UsersRead), 200, nil},
	"addFactor":        {self, 201, newFactorOf},
	"confirmFactor":    {self, 200, func(s *server, a account) any { return map[string]any{"code": s.codeOf(a)} }},
	"removeFactor":     {self, 204, reauthenticationOf},
	"deleteFactor":     {only(access.UsersWrite), 204, nil},
	"newRecoveryCodes": {self, 200, reauthenticationOf},

	"listRoles":       {only(access.RolesRead), 200, nil},
	"putRole":         {only(access.RolesWrite), 200, text(`{"permissions":["orders:refund"]}`)},
	"deleteRole":      {only(access.RolesWrite), 204, nil},
	"listAuditEvents": {only(access.AuditRead), 200, nil},

	"introspectToken": {only(access.TokensIntrospect), 200, func(_ *server, a account) any { return url.Values{"token": {a.refresh}} }},
	"revokeToken":     {anyone, 200, func(_ *server, a account) any { return url.Values{"token": {a.refresh}} }},

	"getServerMetadata": {anyone, 200, nil},

	"healthz":    {anyone, 200, nil},
	"readyz":     {anyone, 200, nil},
	"getOpenAPI": {anyone, 200, nil},
	"getKeys":    {anyone, 200, nil},
	"getDocs":    {anyone, 200, nil},
}

func text(body string) func(*server, account) any { return func(*server, account) any { return body } }

func credentialsOf(_ *server, a account) any {
	return map[string]any{"email": a.Email, "password": a.password}
}

func replacementOf(_ *server, a account) any {
	return map[string]any{"email": a.Email, "name": "Ada"}
}

func newcomer(*server, account) any {
	return map[string]any{"email": strings.ToLower(rand.Text()) + "@example.com", "password": goodPassword}
}

func invitee(*server, account) any {
	return map[string]any{"email": strings.ToLower(rand.Text()) + "@example.com"}
}

// withoutPassword removes the password of an account, which keeps its session.
func withoutPassword(s *server, a account) any {
	s.execute(`UPDATE credentials SET password_hash = '' WHERE user_id = $1`, a.ID)
	return nil
}

func invitationOf(s *server, _ account) any {
	_, token := s.invite(strings.ToLower(rand.Text()) + "@example.com")
	return map[string]any{"token": token, "new_password": newPassword}
}

func resetOf(s *server, a account) any {
	return map[string]any{"token": s.askForReset(a.Email), "new_password": newPassword}
}

func verificationOf(s *server, a account) any {
	s.call("POST", "/email-verification", nil, as(a.token)).want(s.t, 202)
	_, issued := lastEvent[tokenIssued](s.t, s, event.EmailVerificationRequested)
	return map[string]any{"token": issued.Token}
}

// callers returns an access token for each kind of caller, except for the target user of a call.
func (s *server) callers(admin account) map[string]string {
	s.t.Helper()
	disabled, ended := s.register(), s.register()
	s.call("PUT", disabled.path()+"/status", `{"status":"disabled"}`, as(admin.token)).want(s.t, 200)
	s.call("POST", "/logout", nil, as(ended.token)).want(s.t, 204)
	tokens := map[string]string{
		"anonymous": "", "other": s.register().token, "admin": s.admin().token,
		"disabled": disabled.token, "ended": ended.token, "expired": expired(s.t, s.register().token),
	}
	for _, p := range access.Permissions() {
		tokens[string(p)] = s.with("may-" + strings.ReplaceAll(string(p), ":", "-")).token
	}
	return tokens
}

// expired returns a copy of the token that expired a second ago and has a valid signature.
func expired(t *testing.T, token string) string {
	t.Helper()
	claims := jwt.MapClaims{}
	old, _, err := jwt.NewParser().ParseUnverified(token, claims)
	if err != nil {
		t.Fatal(err)
	}
	claims["exp"] = time.Now().Add(-time.Second).Unix()
	signed, err := (&jwt.Token{Method: jwt.SigningMethodHS256, Header: old.Header, Claims: claims}).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// refusal returns the status for a caller that may not call an operation, or 0 if the caller may.
func (w who) refusal(caller string) int {
	switch {
	case w.anyone:
		return 0
	case caller == "anonymous" || caller == "disabled" || caller == "ended" || caller == "expired":
		return 401
	case w.everybody, w.self && caller == "self", w.permission != "" && (caller == string(w.permission) || caller == "admin"):
		return 0
	default:
		return 403
	}
}

// TestEveryOperationForEveryCaller calls each operation of api/openapi.yaml as each kind of caller, and checks the status. It does so in
// both query modes, because in the mode for older poolers pgx can't encode all types of arguments.
func TestEveryOperationForEveryCaller(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"cache_statement", "exec"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(set *settings) { set.database = postgrestest.URL(t) + "&default_query_exec_mode=" + mode })
			s.callEveryOperation()
		})
	}
}

// callEveryOperation calls each operation of api/openapi.yaml as each kind of caller.
func (s *server) callEveryOperation() {
	s.t.Helper()
	admin := s.admin()
	for _, p := range access.Permissions() {
		path := "/roles/may-" + strings.ReplaceAll(string(p), ":", "-")
		s.call("PUT", path, map[string]any{"permissions": []access.Permission{p}}, as(admin.token)).want(s.t, 200)
	}
	shared := s.callers(admin)
	seen := 0
	for path, item := range contract.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			name := operation.OperationID
			if _, known := operations[name]; !known {
				s.t.Errorf("%s %s (%s) is missing in the table of operations, want an entry with its callers", method, path, name)
				continue
			}
			seen++
			callers := shared
			if name == "logout" {
				callers = s.callers(admin) // a logout ends their sessions
			}
			s.callAsEverybody(method, path, name, callers, admin)
		}
	}
	if seen != len(operations) {
		s.t.Errorf("the table has %d operations, want %d as in api/openapi.yaml", len(operations), seen)
	}
}

// callAsEverybody first calls the operation on one target user, as each caller that must be refused, and checks that the target user still
// has access. Then it calls the operation as each allowed caller, each time on a new target user. If the target user may call the
// operation, that call comes last.
func (s *server) callAsEverybody(method, path, name string, callers map[string]string, admin account) {
	s.t.Helper()
	op := operations[name]
	target := s.register()
	for caller, token := range callers {
		if status := op.who.refusal(caller); status != 0 {
			s.callAbout(target, method, path, name, caller, token, status)
		}
	}
	if status := op.who.refusal("self"); status != 0 {
		s.callAbout(target, method, path, name, "self", target.token, status)
	}
	s.call("GET", "/users/me", nil, as(target.token)).want(s.t, 200) // the refused calls did not change the user
	for caller, token := range callers {
		if op.who.refusal(caller) == 0 {
			s.call("PUT", "/roles/spare", `{"permissions":[]}`, as(admin.token)).want(s.t, 200)
			s.callAbout(s.register(), method, path, name, caller, token, op.status)
		}
	}
	if op.who.refusal("self") == 0 {
		s.callAbout(target, method, path, name, "self", target.token, op.status)
	}
}

func (s *server) callAbout(target account, method, path, name, caller, token string, status int) {
	s.t.Helper()
	op := operations[name]
	sessions, err := s.users.Sessions(s.t.Context(), target.ID)
	if err != nil || len(sessions) == 0 {
		s.t.Fatalf("%s as %s: the target has no session (error %v), want one", name, caller, err)
	}
	params := []string{"{id}", target.ID.String(), "{session_id}", sessions[0].ID.String(), "{name}", "spare", "{path}", "orders"}
	params = append(params, s.factorFor(name, target)...)
	path = strings.NewReplacer(params...).Replace(path)
	var body any
	if op.body != nil {
		body = op.body(s, target)
	}
	var options []option
	if token != "" {
		options = append(options, as(token))
	}
	got := s.call(method, path, body, options...)
	if got.status != status {
		s.t.Errorf("%s as %s: status is %d, want %d: %s", name, caller, got.status, status, got.body)
	}
	if problem := fmt.Sprintf(`"status":%d`, status); status >= 400 && !strings.Contains(string(got.body), problem) {
		s.t.Errorf("%s as %s: the problem is %s, want %s in it", name, caller, got.body, problem)
	}
}
