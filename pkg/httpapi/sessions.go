package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// tokenResponse is the response of RFC 6749 section 5.1.
type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token"`
}

func readLogin(o *object) user.Login {
	return user.Login{Email: o.email(), Password: o.text("password")}
}

func (a *API) login(w http.ResponseWriter, c *call) error {
	in, err := decode(c, []string{mediaJSON}, readLogin, user.Login.Check)
	if err != nil {
		return err
	}
	pair, err := a.users.Login(c.Context(), in)
	return a.loginDone(w, c, pair, err)
}

// loginDone reports the result of a login to metrics, and sends the tokens.
func (a *API) loginDone(w http.ResponseWriter, c *call, pair user.TokenPair, err error) error {
	if err != nil {
		// an invalid input is not counted, and neither is a malformed body
		if code := codedError(c.Request, err).Code; code != user.Invalid {
			a.observer.LoginDone(string(code))
		}
		return err
	}
	a.observer.LoginDone("success")
	return writeTokens(w, pair)
}

func (a *API) refresh(w http.ResponseWriter, c *call) error {
	token, err := decode(c, []string{mediaJSON}, func(o *object) string { return o.text("refresh_token") }, user.CheckRefreshToken)
	if err != nil {
		return err
	}
	pair, err := a.users.Refresh(c.Context(), token)
	if err != nil {
		// an invalid input is not counted, and neither is a malformed body
		if code := codedError(c.Request, err).Code; code != user.Invalid {
			a.observer.RefreshDone(string(code))
		}
		return err
	}
	a.observer.RefreshDone("success")
	return writeTokens(w, pair)
}

// logout ends the session of the refresh token in the body, or of the access token if the body has none.
func (a *API) logout(w http.ResponseWriter, c *call) error {
	token, err := refreshTokenOf(c)
	switch {
	case err != nil:
		return err
	case token != nil:
		err = a.users.LogoutByRefreshToken(c.Context(), *token)
	default:
		if err = a.authorize(c, route{rule: access.Authenticated(), quota: uncounted}); err == nil {
			c.setOrigin()
			err = a.users.Logout(c.Context(), c.grant)
		}
	}
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

// refreshTokenOf returns the refresh token in the optional body; nil without one. The body must be small, because no quota limits
// these requests.
func refreshTokenOf(c *call) (*string, error) {
	if c.ContentLength == 0 || c.ContentLength < 0 && c.Header.Get("Content-Type") == "" {
		return nil, nil
	}
	c.maxBytes = smallBody
	return decode(c, []string{mediaJSON}, func(o *object) *string { return o.optional("refresh_token") }, nil)
}

// verify responds to gateways that ask whether to allow a request (nginx auth_request, Traefik ForwardAuth, Caddy forward_auth). The
// gateway passes the headers to the application.
func (a *API) verify(w http.ResponseWriter, c *call) error {
	setIdentity(w, c)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// verifyPath responds to gateways that append the path of the request to /verify. Envoy's ext_authz does this, and allows a request only
// after status 200.
func (a *API) verifyPath(w http.ResponseWriter, c *call) error {
	setIdentity(w, c)
	w.WriteHeader(http.StatusOK)
	return nil
}

func setIdentity(w http.ResponseWriter, c *call) {
	permissions := make([]string, len(c.by.Permissions))
	for i, p := range c.by.Permissions {
		permissions[i] = string(p)
	}
	noStore(w)
	w.Header().Set("X-User-Id", callerID(c.by.Caller))
	w.Header().Set("X-User-Email-Verified", strconv.FormatBool(c.by.User.EmailVerified))
	w.Header().Set("X-User-Roles", strings.Join(c.by.Roles, ","))
	w.Header().Set("X-User-Permissions", strings.Join(permissions, ","))
}

// callerID returns the id of a user or the name of a workload.
func callerID(by access.Caller) string {
	if by.Workload != "" {
		return user.WorkloadActor(by.Workload)
	}
	return by.UserID.String()
}

// sessionItem is a session in a response.
type sessionItem struct {
	ID         uuid.UUID `json:"id"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	UserAgent  string    `json:"user_agent,omitempty"`
	IP         string    `json:"ip,omitempty"`
	Current    bool      `json:"current"`
}

func (a *API) listSessions(w http.ResponseWriter, c *call) error {
	sessions, err := a.users.Sessions(c.Context(), c.target)
	if err != nil {
		return err
	}
	noStore(w)
	return writeJSON(w, http.StatusOK, struct {
		Items []sessionItem `json:"items"`
	}{sessionItems(sessions, c.by.SessionID)})
}

// sessionItems returns sessions for a response. current is the session of the caller.
func sessionItems(sessions []user.Session, current uuid.UUID) []sessionItem {
	items := make([]sessionItem, len(sessions))
	for i, s := range sessions {
		items[i] = sessionItem{
			ID: s.ID, CreatedAt: s.CreatedAt, LastUsedAt: s.RotatedAt, ExpiresAt: s.ExpiresAt,
			UserAgent: s.UserAgent, Current: s.ID == current,
		}
		if s.IP.IsValid() {
			items[i].IP = s.IP.String()
		}
	}
	return items
}

func (a *API) endSessions(w http.ResponseWriter, c *call) error {
	if err := a.users.EndSessions(c.Context(), c.grant); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) endSession(w http.ResponseWriter, c *call) error {
	if err := a.users.EndSession(c.Context(), c.grant, c.session); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func writeTokens(w http.ResponseWriter, pair user.TokenPair) error {
	noStore(w)
	return writeJSON(w, http.StatusOK, tokenResponse{
		AccessToken: pair.Access, TokenType: "Bearer", ExpiresIn: int64(pair.ExpiresIn.Seconds()), RefreshToken: pair.Refresh,
	})
}
