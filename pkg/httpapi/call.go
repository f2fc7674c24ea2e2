package httpapi

import (
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"

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
	body    []byte
	bodyErr error // why body could not be read
}

// handler answers one call. What it returns as an error becomes a problem document.
type handler func(http.ResponseWriter, *call) error

// serve makes an http.Handler of a route: it turns away an address that calls too often, reads
// the body, finds out who calls, and lets in whoever may.
func (a *API) serve(r route) http.Handler {
	return a.errors(func(w http.ResponseWriter, req *http.Request) error {
		c := &call{addr: clientAddr(req, a.cfg.TrustedProxies)}
		if err := a.limit(c, r); err != nil {
			return err
		}
		c.body, c.bodyErr = readBody(w, req)
		ctx, cancel := withDeadline(req.Context()) // from here on nothing depends on the client's pace
		defer cancel()
		c.Request = req.WithContext(ctx)
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
	c.Request = c.WithContext(user.WithOrigin(c.Context(), c.origin()))
	return r.handle(w, c)
}

// maxUserAgent is how much of a User-Agent is kept: enough to know one's devices by it.
const maxUserAgent = 256 // bytes

// origin is what the audit trail and the list of sessions keep of where the call comes from.
func (c *call) origin() user.Origin {
	agent := c.UserAgent()
	agent = strings.ToValidUTF8(agent[:min(len(agent), maxUserAgent)], "")
	return user.Origin{ActorID: c.by.UserID, IP: c.addr, UserAgent: agent, RequestID: telemetry.RequestID(c.Context())}
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
	if c.by, err = a.users.Authenticate(c.Context(), raw); err != nil {
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

// readBody reads a body that is not too long, at the pace of the client.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return nil, errTooLarge()
	case err != nil:
		return nil, errMalformed("The body could not be read to its end.")
	}
	return body, nil
}
