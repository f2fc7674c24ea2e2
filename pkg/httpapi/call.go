package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/julienschmidt/httprouter"

	"user-service/pkg/access"
	"user-service/pkg/telemetry"
	"user-service/pkg/user"
)

// call is one request, with what the API finds out before the handler runs.
type call struct {
	*http.Request
	addr    netip.Addr    // the address of the client
	by      user.Identity // the caller; zero on routes for anyone
	target  uuid.UUID     // the user in the path, or uuid.Nil
	grant   access.Grant
	session uuid.UUID // the session in the path, or uuid.Nil
	factor  uuid.UUID // the factor in the path, or uuid.Nil

	idempotency *user.Idempotency // nil without an idempotency key

	onSuccess func() // runs after the handler has succeeded; may be nil

	base   context.Context    // the context of the request, without the timeout
	cancel context.CancelFunc // cancels the context with the timeout

	bodies   *bodies
	maxBytes int // Limit for the body; 0 means maxBody.
	received bool
	reserved int64        // Bytes that the body reserves in bodies.
	onBody   func([]byte) // Gets the body before it is parsed. May be nil.
	object   *object      // The parsed body.
	token    string       // The token of the parsed form.
	bodyErr  error        // The error if there is neither object nor token.
}

// handler responds to one call. Its error becomes a problem document.
type handler func(http.ResponseWriter, *call) error

// serve returns the http.Handler of a route. The handler authenticates and authorizes the caller, and counts the call in the quota of the
// caller. It reads the body after these steps, unless the quota depends on the body.
func (a *API) serve(r route) http.Handler {
	return a.handleErrors(func(w http.ResponseWriter, req *http.Request) error {
		c := &call{Request: req, addr: clientAddr(req, a.cfg.TrustedProxies), base: req.Context(), bodies: a.bodies}
		c.startTimeout(requestTimeout)
		defer func() { c.cancel() }()
		defer c.release()
		err := a.run(w, c, r)
		a.recordDenial(c, err)
		return err
	})
}

// run authorizes a call, counts it and runs the handler of its route.
func (a *API) run(w http.ResponseWriter, c *call, r route) error {
	if !a.enabled(r) {
		return errNotFound()
	}
	if err := a.authorize(c, r); err != nil {
		return err
	}
	a.observer.Authorized(c.kind())
	if r.method != http.MethodGet { // a read adds nothing to the audit trail
		c.setOrigin()
	}
	if err := a.count(c, r.quota); err != nil {
		return err
	}
	err := r.handle(w, c)
	if err == nil {
		c.runOnSuccess()
	}
	return err
}

// runOnSuccess calls onSuccess, once.
func (c *call) runOnSuccess() {
	if c.onSuccess != nil {
		c.onSuccess()
		c.onSuccess = nil
	}
}

// startTimeout gives the call a new deadline, in the time left. So a response comes within 2 seconds, even if a dependency does not
// respond.
func (c *call) startTimeout(left time.Duration) {
	ctx, cancel := context.WithTimeout(c.base, left)
	c.Request, c.cancel = c.WithContext(ctx), cancel
}

// receive reads the body as a JSON object, once.
func (c *call) receive() {
	c.receiveAs(func(body []byte) (err error) {
		c.object, err = parseObject(body)
		return err
	})
}

// receiveAs reads the body and calls parse with it, once. The time for receiving the body does not count towards the timeout.
func (c *call) receiveAs(parse func(body []byte) error) {
	if c.received {
		return
	}
	c.received = true
	deadline, _ := c.Context().Deadline()
	left := time.Until(deadline)
	c.cancel()
	defer waitForClient(c.base)()
	var body []byte
	if body, c.reserved, c.bodyErr = c.bodies.read(c.Request, cmp.Or(c.maxBytes, maxBody)); c.bodyErr == nil {
		if c.onBody != nil {
			c.onBody(body)
		}
		c.bodyErr = parse(body)
	}
	c.startTimeout(left)
}

// release frees the bytes that the body reserves.
func (c *call) release() {
	c.bodies.release(c.reserved)
	c.reserved, c.object = 0, nil
}

// bodyField reads the body, if necessary, and returns the string member with this name, or "" if there is none. The member stays in the
// body, so the handler can still take it.
func (c *call) bodyField(name string) (s string) {
	if checkMediaType(c.Header, []string{mediaJSON, mediaMergePatch}) != nil {
		return ""
	}
	if c.receive(); c.bodyErr == nil {
		_ = json.Unmarshal(c.object.members[name], &s)
	}
	return s
}

// setOrigin adds the origin of the call to its context, for the audit trail and the list of sessions.
func (c *call) setOrigin() {
	origin := c.origin()
	c.base = user.WithOrigin(c.base, origin)
	c.Request = c.WithContext(user.WithOrigin(c.Context(), origin))
}

// kind returns the kind of the caller, for metrics.
func (c *call) kind() string {
	switch {
	case c.by.Workload != "":
		return "workload"
	case c.by.Known():
		return "user"
	default:
		return "anonymous"
	}
}

func (c *call) origin() user.Origin {
	origin := user.Origin{ActorID: c.by.UserID, IP: c.addr, UserAgent: c.UserAgent(), RequestID: telemetry.RequestID(c.Context())}
	if c.by.Workload != "" {
		origin.Actor = user.WorkloadActor(c.by.Workload)
	}
	return origin
}

// authorize authenticates the caller, reads the ids in the path, and checks the permission.
//
// Errors: authenticationRequired, InvalidAccessToken, invalidParameter, Forbidden, SecondFactorRequired, TooManyRequests, Unavailable.
func (a *API) authorize(c *call, r route) error {
	if r.rule.Anonymous() {
		return nil
	}
	raw, err := bearer(c.Request)
	if err != nil {
		return err
	}
	if err := a.authenticate(c, raw, r.quota); err != nil {
		return err
	}
	if err := c.readPath(); err != nil {
		return err
	}
	c.grant = r.rule.Grant(c.by.Caller, c.target)
	if r.rule.NeedsFactor(c.by.Caller, c.target) {
		return user.ErrNeedsFactor()
	}
	if !r.rule.Allows(c.by.Caller, c.target) {
		return user.ErrForbidden()
	}
	return nil
}

// authenticate identifies the caller by the token of the request. The iss of the token selects the verifier.
//
// Errors: InvalidAccessToken, Forbidden, TooManyRequests, Unavailable.
func (a *API) authenticate(c *call, raw string, quota quotaRule) error {
	if a.users.IsWorkload(raw) {
		return a.authenticateWorkload(c, raw, quota)
	}
	claims, err := a.users.VerifyAccess(raw)
	if err != nil {
		return err
	}
	if err := a.countBeforeQuery(quota, claims.SessionID); err != nil {
		return err
	}
	c.by, err = a.users.Identify(c.Context(), claims)
	return err
}

// authenticateWorkload identifies a caller that is a service.
//
// Errors: InvalidAccessToken, Forbidden (the caller has no roles), TooManyRequests, Unavailable.
func (a *API) authenticateWorkload(c *call, raw string, quota quotaRule) error {
	w, err := a.users.VerifyWorkload(c.Context(), raw)
	if err != nil {
		return err
	}
	c.by.Workload = w.Subject // the audit entry of a refusal has this actor
	if err := a.countBeforeQuery(quota, workloadKey("session", w.Subject)); err != nil {
		return err
	}
	c.by, err = a.users.IdentifyWorkload(c.Context(), w)
	return err
}

// reauthorize authorizes the call again, because a long response must not continue after a revocation.
//
// Errors: InvalidAccessToken, Forbidden, Unavailable.
func (a *API) reauthorize(c *call) error {
	now, err := a.users.IdentifyAgain(c.Context(), c.by)
	if err == nil && !c.grant.Allows(now.Caller, access.Holder{}) {
		err = user.ErrForbidden()
	}
	return err
}

// restartTimeout gives the next part of a long response as much time as a request.
func (c *call) restartTimeout() {
	c.cancel()
	c.startTimeout(requestTimeout)
}

// readPath reads the ids in the path. Errors: invalidParameter, Forbidden (me for a workload).
func (c *call) readPath() (err error) {
	params := httprouter.ParamsFromContext(c.Context())
	if id := params.ByName("id"); id == "me" && c.by.Workload != "" {
		return errNotUser()
	} else if id == "me" {
		c.target = c.by.UserID
	} else if id != "" {
		if c.target, err = parseID(id); err != nil {
			return err
		}
	}
	if id := params.ByName("session_id"); id != "" {
		c.session, err = parseID(id)
	}
	if id := params.ByName("factor_id"); id != "" {
		c.factor, err = parseID(id)
	}
	return err
}

// errNotUser returns the error for a workload that uses me in place of a user's id.
func errNotUser() error {
	return &user.Error{Code: user.Forbidden, Detail: "The caller is a service without an account, so me is not a user; use a user's id."}
}

// bearer returns the token of the Authorization header (RFC 6750 section 2.1).
func bearer(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return "", errNoToken()
	}
	scheme, raw, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", errNoToken()
	}
	if raw = strings.TrimLeft(raw, " "); len(values) > 1 || raw == "" {
		return "", &user.Error{Code: user.InvalidAccessToken, Detail: "The Authorization header must hold one bearer token."}
	}
	return raw, nil
}

// parseID parses a UUID. It accepts only the canonical form, so that a user has one URL.
func parseID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil || id.String() != s {
		return uuid.Nil, errParameter("An id must be a UUID in lower case; a user's id may also be me.")
	}
	return id, nil
}
