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

// call is one request, as far as it is understood before its handler runs.
type call struct {
	*http.Request
	addr    netip.Addr    // where the call comes from
	by      user.Identity // who calls; zero on routes for anyone
	target  uuid.UUID     // the user whom the path names; nil if it names none
	grant   access.Grant  // what the call's changes rest on
	session uuid.UUID     // the session that the path names; nil if it names none

	succeeded func() // runs when the handler has answered without an error; nil: nothing does

	base   context.Context    // that of the request, without the end that begin gives it
	cancel context.CancelFunc // ends what begin began

	bodies   *bodies
	mostBody int // bytes of the body; 0: maxBody
	received bool
	reserved int64   // bytes of bodies that the body holds
	object   *object // the body
	bodyErr  error   // why there is no object
}

// handler answers one call. What it returns as an error becomes a problem document.
type handler func(http.ResponseWriter, *call) error

// serve makes an http.Handler of a route: it finds out who calls, lets in whoever may, and counts the call in its quota. No
// byte of the body is read before that, but where the body decides about the quota.
func (a *API) serve(r route) http.Handler {
	return a.errors(func(w http.ResponseWriter, req *http.Request) error {
		c := &call{Request: req, addr: clientAddr(req, a.cfg.TrustedProxies), base: req.Context(), bodies: a.bodies}
		c.begin(requestTimeout)
		defer func() { c.cancel() }()
		defer c.release()
		err := a.run(w, c, r)
		a.noteDenial(c, err)
		return err
	})
}

// run lets the handler of a route answer a call that it may make.
func (a *API) run(w http.ResponseWriter, c *call, r route) error {
	if err := a.admit(c, r); err != nil {
		return err
	}
	c.setOrigin()
	if err := a.count(c, r.quota); err != nil {
		return err
	}
	err := r.handle(w, c)
	if err == nil {
		c.success()
	}
	return err
}

// success runs what is due when the call has succeeded, once.
func (c *call) success() {
	if c.succeeded != nil {
		c.succeeded()
		c.succeeded = nil
	}
}

// begin bounds what the call may wait for from now on: whatever is away, an answer comes within 2 seconds.
func (c *call) begin(left time.Duration) {
	ctx, cancel := context.WithTimeout(c.base, left)
	c.Request, c.cancel = c.WithContext(ctx), cancel
}

// receive reads the body, once, at the pace of the client. The time that the call has left stands still meanwhile.
func (c *call) receive() {
	if c.received {
		return
	}
	c.received = true
	deadline, _ := c.Context().Deadline()
	left := time.Until(deadline)
	c.cancel()
	defer waitForClient(c.base)()
	var body []byte
	if body, c.reserved, c.bodyErr = c.bodies.read(c.Request, cmp.Or(c.mostBody, maxBody)); c.bodyErr == nil {
		c.object, c.bodyErr = parseObject(body)
	}
	c.begin(left)
}

// release gives back what the body holds of the bound of all bodies.
func (c *call) release() {
	c.bodies.release(c.reserved)
	c.reserved, c.object = 0, nil
}

// peek returns a member of the body before the handler runs; "" where it is not a string.
func (c *call) peek(name string) (s string) {
	if checkMediaType(c.Header, []string{mediaJSON, mediaMergePatch}) != nil {
		return ""
	}
	if c.receive(); c.bodyErr == nil {
		_ = json.Unmarshal(c.object.members[name], &s)
	}
	return s
}

// setOrigin adds to the context what the audit trail and the list of sessions keep of where the call comes from.
func (c *call) setOrigin() {
	c.base = user.WithOrigin(c.base, c.origin())
	c.Request = c.WithContext(user.WithOrigin(c.Context(), c.origin()))
}

func (c *call) origin() user.Origin {
	return user.Origin{ActorID: c.by.UserID, IP: c.addr, UserAgent: c.UserAgent(), RequestID: telemetry.RequestID(c.Context())}
}

// admit fills in who calls and whom the call is about, and refuses who may not call.
func (a *API) admit(c *call, r route) error {
	if r.who.Anonymous() {
		return nil
	}
	raw, err := bearer(c.Request)
	if err != nil {
		return err
	}
	claims, err := a.users.VerifyAccess(raw)
	if err != nil {
		return err
	}
	if err := a.countBeforeQuery(r.quota, claims.SessionID); err != nil {
		return err
	}
	if c.by, err = a.users.Identify(c.Context(), claims); err != nil {
		return err
	}
	if err := c.readPath(); err != nil {
		return err
	}
	c.grant = r.who.Grant(c.by.Caller, c.target)
	if !r.who.Allows(c.by.Caller, c.target) {
		return user.ErrForbidden()
	}
	return nil
}

// readPath reads the ids in the path.
func (c *call) readPath() (err error) {
	params := httprouter.ParamsFromContext(c.Context())
	if id := params.ByName("id"); id == "me" {
		c.target = c.by.UserID
	} else if id != "" {
		if c.target, err = parseID(id); err != nil {
			return err
		}
	}
	if id := params.ByName("session_id"); id != "" {
		c.session, err = parseID(id)
	}
	return err
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

// parseID reads a UUID in its canonical form only, so that a user has one URL.
func parseID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil || id.String() != s {
		return uuid.Nil, errParameter("An id must be a UUID in lower case; that of a user may be me.")
	}
	return id, nil
}
