package httpapi_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/google/uuid"

	"user-service/internal/testkit"
	"user-service/pkg/access"
	"user-service/pkg/factor"
	"user-service/pkg/httpapi"
	"user-service/pkg/password"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/token"
	"user-service/pkg/user"
)

const (
	goodPassword = "seven green kettles sing"
	jsonType     = "application/json"
	formType     = "application/x-www-form-urlencoded"
	issuer       = "https://id.example.com/accounts"
	secret       = "a secret of these tests, 32 bytes at least"
)

// dataKey is the DATA_KEY of these tests.
var dataKey = newDataKey()

func newDataKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return base64.StdEncoding.EncodeToString(key)
}

// server is the API with its own database.
type server struct {
	*httptest.Server
	t     *testing.T
	db    *postgres.DB
	users *user.Service
	api   *httpapi.API
	keys  func(token.Keys) error // replaces the keys of access tokens

	dataKeys *factor.Keys
	logs     *testkit.Buffer
	dsn      string

	hashes  *hashes
	hasher  *password.Hasher
	hangUps atomic.Int64 // requests whose client closed the connection before the response
}

type settings struct {
	cfg      user.Config
	limits   password.Limits
	docs     bool
	issuer   string // JWT_ISSUER, for the metadata
	limit    int    // anonymous POSTs per minute and address
	account  int    // writes per minute and account
	proxies  []netip.Prefix
	checks   []httpapi.Check
	observer httpapi.Observer
	database string // DSN of an existing database; empty: a new one
	dataKey  string // empty: second factors are off
	rpID     string // empty: passkeys are off
}

// start runs the API for one test.
func start(t *testing.T, change ...func(*settings)) *server {
	t.Helper()
	set := settings{
		cfg: user.Config{
			RegistrationEnabled: true, MaxFailures: 5, Passwords: password.Policy{MinLength: 15},
			RefreshIdleTTL: time.Hour, RefreshTTL: 2 * time.Hour,
		},
		limits: password.Limits{Concurrency: 2, Queue: 64, MaxWait: 10 * time.Second},
		docs:   true, dataKey: dataKey, rpID: relyingParty, issuer: issuer, observer: unobserved{},
	}
	for _, c := range change {
		c(&set)
	}
	if set.database == "" {
		set.database = postgrestest.URL(t)
	}
	s := &server{t: t, logs: &testkit.Buffer{}, hashes: &hashes{}, dsn: set.database, db: postgrestest.Connect(t, set.database, nil)}
	hasher, err := password.NewHasher(password.Config{
		Params: password.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}, Limits: set.limits, Observer: s.hashes,
	})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := token.New(token.Config{
		Keys: token.Keys{Secret: secret}, Issuer: issuer, Audience: "user-service", ClientID: "shop", AccessTTL: 10 * time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.keys, s.hasher = tokens.SetKeys, hasher
	log := slog.New(slog.NewJSONHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	set.cfg.Log, set.cfg.Issuer = log, "https://accounts.example.com"
	if s.dataKeys, err = factor.NewKeys(set.dataKey, ""); err != nil {
		t.Fatal(err)
	}
	set.cfg.DataKeys = s.dataKeys
	if set.cfg.RelyingParty, err = factor.NewRelyingParty(set.rpID, "Example", []string{"https://" + set.rpID}); err != nil {
		t.Fatal(err)
	}
	s.users = user.New(set.cfg, s.db, hasher, tokens)
	health := httpapi.NewHealth(log, append(set.checks, httpapi.Check{Name: "database", Run: s.db.Ping})...)
	cfg := httpapi.Config{
		DocsEnabled: set.docs, TrustedProxies: set.proxies, RateLimitPerMinute: set.limit, AccountRateLimitPerMinute: set.account,
		Issuer: set.issuer,
	}
	s.api = httpapi.New(cfg, s.users, health, set.observer, log)
	s.api.StopClock()
	handler := s.countHangUps(s.api.Handler())
	s.Server = httptest.NewUnstartedServer(handler)
	s.Config = httpapi.Server("", handler, log)
	s.Start()
	s.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(s.Close)
	return s
}

type unobserved struct{}

func (unobserved) RequestStarted(context.Context, string) func(string, int) {
	return func(string, int) {}
}
func (unobserved) Authorized(string)                     {}
func (unobserved) RefreshDone(string)                    {}
func (unobserved) LoginDone(string)                      {}
func (unobserved) RateLimited(string)                    {}
func (unobserved) HashDone(time.Duration, time.Duration) {}
func (unobserved) HashRefused(string)                    {}

// answer is a response of the API.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// option changes a request before it is sent.
type option func(*http.Request)

func as(token string) option    { return header("Authorization", "Bearer "+token) }
func header(k, v string) option { return func(r *http.Request) { r.Header.Set(k, v) } }
func mergePatch() option        { return header("Content-Type", "application/merge-patch+json") }

// call sends a request and checks the request and its response against api/openapi.yaml. It sends a string as the body,
// url.Values as a form, and any other value as JSON.
func (s *server) call(method, path string, body any, options ...option) answer {
	s.t.Helper()
	raw := encode(s.t, body)
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, bytes.NewReader(raw))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", mediaTypeOf(body))
	}
	for _, o := range options {
		o(req)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: content}
	s.checkContract(req, raw, a)
	return a
}

func mediaTypeOf(body any) string {
	if _, ok := body.(url.Values); ok {
		return formType
	}
	return jsonType
}

func encode(t *testing.T, body any) []byte {
	t.Helper()
	switch body := body.(type) {
	case nil:
		return nil
	case string:
		return []byte(body)
	case url.Values:
		return []byte(body.Encode())
	default:
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
}

// checkContract validates a response against api/openapi.yaml, and also the request if the service accepted it.
func (s *server) checkContract(req *http.Request, body []byte, a answer) {
	s.t.Helper()
	if a.header.Get("X-Request-Id") == "" {
		s.t.Errorf("%s %s: the response has no X-Request-Id, want one", req.Method, req.URL.Path)
	}
	check := req.Clone(context.Background())
	check.URL.Scheme, check.URL.Host, check.Host = "", "", ""
	check.Body = io.NopCloser(bytes.NewReader(body))
	route, params, err := contract.router.FindRoute(check)
	if err != nil {
		// The contract lists neither the redirect and the files of the documentation page, nor all methods and paths of verify.
		unlisted := req.URL.Path == "/" || strings.HasPrefix(req.URL.Path, "/docs/") || strings.HasPrefix(req.URL.Path, "/verify") ||
			req.Method == http.MethodHead || req.Method == http.MethodOptions
		if a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed && !unlisted {
			s.t.Errorf("%s %s is not in api/openapi.yaml: status is %d, want 404 or 405", req.Method, req.URL.Path, a.status)
		}
		return
	}
	contract.mu.Lock()
	contract.seen[route.Operation.OperationID] = true
	contract.mu.Unlock()

	in := &openapi3filter.RequestValidationInput{
		Request: check, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	if a.status < 300 {
		if err := openapi3filter.ValidateRequest(s.t.Context(), in); err != nil {
			s.t.Errorf("%s %s: the service accepts a request that api/openapi.yaml does not allow: %v", req.Method, req.URL.Path, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.status, Header: a.header, Options: in.Options}
	out.SetBodyBytes(a.body)
	if err := openapi3filter.ValidateResponse(s.t.Context(), out); err != nil {
		s.t.Errorf("%s %s: the response %d does not match api/openapi.yaml: %v\n%s", req.Method, req.URL.Path, a.status, err, a.body)
	}
}

// decode parses a JSON response.
func decode[T any](t *testing.T, a answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("the response %d is not JSON: %v\n%s", a.status, err, a.body)
	}
	return v
}

// want checks the status and returns the response.
func (a answer) want(t *testing.T, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status is %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

type problem struct {
	Type, Title, Detail, Instance string
	Status                        int
	RequestID                     string `json:"request_id"`
	Errors                        []user.FieldError
}

// wantProblem checks that the response is a problem document with this status and type.
func (a answer) wantProblem(t *testing.T, status int, name string) problem {
	t.Helper()
	a.want(t, status)
	p := decode[problem](t, a)
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type is %q, want application/problem+json", got)
	}
	if p.Type != "/problems/"+name || p.Status != status || p.RequestID != a.header.Get("X-Request-Id") || p.Title == "" {
		t.Errorf("the problem is %+v, want /problems/%s with the status %d", p, name, status)
	}
	return p
}

// account is a registered user with a session.
type account struct {
	user.User
	password string
	token    string
	refresh  string
}

// register creates an account with a new email and logs in.
func (s *server) register() account {
	s.t.Helper()
	return s.registerAs(strings.ToLower(rand.Text()) + "@example.com")
}

func (s *server) registerAs(email string) account {
	s.t.Helper()
	a := s.call("POST", "/register", map[string]any{"email": email, "password": goodPassword}).want(s.t, 201)
	return s.login(account{User: decode[user.User](s.t, a), password: goodPassword})
}

type tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
}

func (s *server) login(a account, with ...option) account {
	s.t.Helper()
	got := decode[tokens](s.t, s.call("POST", "/login", map[string]any{"email": a.Email, "password": a.password}, with...).want(s.t, 200))
	a.token, a.refresh = got.AccessToken, got.RefreshToken
	return a
}

// admin creates an account with the role admin, as the command line does, and logs in.
func (s *server) admin() account {
	s.t.Helper()
	return s.with(access.Admin)
}

// with creates an account with these roles and logs in.
func (s *server) with(roles ...string) account {
	s.t.Helper()
	r := user.Registration{Email: strings.ToLower(rand.Text()) + "@example.com", Password: goodPassword}
	u, err := s.users.Create(s.t.Context(), access.Internal(uuid.Nil), r, roles...)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.login(account{User: u, password: goodPassword})
}

func (a account) path() string { return fmt.Sprintf("/users/%s", a.ID) }
