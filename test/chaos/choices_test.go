package chaos_test

import (
	"encoding/json"

	"user-service/test/chaos/history"
)

// token returns an access token of a person, after a login if necessary. It returns "" if the login was refused or had no
// response.
func (c *client) token(p *person) string {
	if now := p.look(); now.tokens.Access != "" {
		return now.tokens.Access
	}
	c.login(p)
	return p.look().tokens.Access
}

// as sends a request with a person's token. After a 401 the person must log in again.
func (c *client) as(p *person, o history.Op, r call) history.Op {
	before := p.look().tokens
	if r.token = c.token(p); r.token == "" {
		return o
	}
	o, _ = c.send(o, r)
	if o.Status == 401 {
		p.use(before, tokens{})
	}
	p.learn(o)
	return o
}

// asAdmin sends a request as the administrator.
func (c *client) asAdmin(p *person, o history.Op, r call) {
	r.token, o.ByPermission = c.r.adminToken, true
	o, _ = c.send(o, r)
	p.learn(o)
}

func (c *client) login(p *person) {
	now := p.look()
	o, body := c.send(op(history.Login, p, history.Want{Password: now.password}), call{
		method: "POST", path: "/login", hangUp: c.hangUp(), body: map[string]string{"email": p.email, "password": now.password},
	})
	switch {
	case o.Outcome == history.Accepted:
		p.use(now.tokens, read(body))
	case o.Status == 401 && !now.disabled:
		p.doubt(now.password)
	}
}

func read(body []byte) (t tokens) {
	_ = json.Unmarshal(body, &t) // a response that is not JSON has no tokens
	return t
}

func (c *client) refresh(p *person) {
	now := p.look()
	if now.tokens.Refresh == "" {
		c.login(p)
		return
	}
	o := op(history.Refresh, p, history.Want{})
	session, shown := refreshToken(now.tokens.Refresh)
	o.Session, o.Shown = session, shown
	o, body := c.send(o, call{
		method: "POST", path: "/refresh", hangUp: c.hangUp(), body: map[string]string{"refresh_token": now.tokens.Refresh},
	})
	switch {
	case o.Outcome == history.Accepted:
		p.use(now.tokens, read(body))
	case o.Status == 401:
		p.use(now.tokens, tokens{})
	}
}

func (c *client) read(p *person) {
	c.as(p, op(history.Read, p, history.Want{}), call{method: "GET", path: "/users/" + p.id, hangUp: c.hangUp()})
}

// patch changes the name. One in four requests has an If-Match with the last known version.
func (c *client) patch(p *person) {
	want := history.Want{Name: c.newName()}
	if c.rng.IntN(4) == 0 {
		want.IfVersion = p.look().version
	}
	c.as(p, op(history.Patch, p, want), call{
		method: "PATCH", path: "/users/" + p.id, hangUp: c.hangUp(), ifMatch: want.IfVersion, body: map[string]string{"name": want.Name},
	})
}

func (c *client) put(p *person) {
	want := history.Want{Name: c.newName(), Locale: [...]string{"en", "de", "fr"}[c.rng.IntN(3)]}
	c.as(p, op(history.Put, p, want), call{
		method: "PUT", path: "/users/" + p.id, hangUp: c.hangUp(),
		body: map[string]string{"email": p.email, "name": want.Name, "locale": want.Locale},
	})
}

func (c *client) setRoles(p *person) {
	want := history.Want{Roles: [][]string{{"user"}, {"reader", "user"}, {"writer"}}[c.rng.IntN(3)]}
	c.asAdmin(p, op(history.Roles, p, want), call{
		method: "PUT", path: "/users/" + p.id + "/roles", hangUp: c.hangUp(), body: map[string]any{"roles": want.Roles},
	})
}

// setStatus disables a person, or activates a disabled one.
func (c *client) setStatus(p *person) {
	want := history.Want{Status: "disabled"}
	if p.look().disabled || c.rng.IntN(2) == 0 {
		want.Status = "active"
	}
	c.asAdmin(p, op(history.Status, p, want), call{
		method: "PUT", path: "/users/" + p.id + "/status", hangUp: c.hangUp(), body: map[string]string{"status": want.Status},
	})
}

func (c *client) changePassword(p *person) {
	token := c.token(p)
	now := p.look()
	if token == "" {
		return
	}
	want := history.Want{OldPassword: now.password, Password: c.newPassword()}
	p.doubt(want.Password)
	o, body := c.send(op(history.Password, p, want), call{
		method: "PUT", path: "/users/" + p.id + "/password", token: token, hangUp: c.hangUp(),
		body: map[string]string{"current_password": now.password, "new_password": want.Password},
	})
	switch {
	case o.Outcome == history.Accepted:
		p.prefer(want.Password)
		p.use(now.tokens, read(body))
	case o.Status == 401:
		p.use(now.tokens, tokens{})
	case o.Status == 403: // the account has another password
		p.doubt(now.password)
	}
}

func (c *client) requestReset(p *person) {
	c.send(op(history.RequestReset, p, history.Want{}), call{
		method: "POST", path: "/password-reset", hangUp: c.hangUp(), body: map[string]string{"email": p.email},
	})
}

func (c *client) sendReset(p *person) {
	c.asAdmin(p, op(history.SendReset, p, history.Want{}), call{
		method: "POST", path: "/users/" + p.id + "/password-reset", hangUp: c.hangUp(),
	})
}

// confirmReset sets a new password with a mailed token. Without a token it calls patch.
func (c *client) confirmReset(p *person) {
	token, ok := c.r.takeToken(p.id)
	if !ok {
		c.patch(p)
		return
	}
	want := history.Want{Password: c.newPassword()}
	p.doubt(want.Password)
	o, _ := c.send(op(history.ConfirmReset, p, want), call{
		method: "POST", path: "/password-reset/confirm", hangUp: c.hangUp(),
		body: map[string]string{"token": token, "new_password": want.Password},
	})
	if o.Outcome == history.Accepted {
		p.prefer(want.Password)
	}
}

func (c *client) endSessions(p *person) {
	c.as(p, op(history.EndSessions, p, history.Want{}), call{method: "DELETE", path: "/users/" + p.id + "/sessions", hangUp: c.hangUp()})
}

func (c *client) logout(p *person) {
	now := p.look()
	if now.tokens.Refresh == "" {
		return
	}
	o := op(history.Logout, p, history.Want{})
	o.Session, o.Shown = refreshToken(now.tokens.Refresh)
	o, _ = c.send(o, call{
		method: "POST", path: "/logout", hangUp: c.hangUp(), body: map[string]string{"refresh_token": now.tokens.Refresh},
	})
	if o.Outcome != history.Perhaps {
		p.use(now.tokens, tokens{})
	}
}

// erase erases a person whom only this client uses. It does nothing to a shared person.
func (c *client) erase(p *person) {
	if p == c.shared {
		return
	}
	o := c.as(p, op(history.Erase, p, history.Want{}), call{method: "DELETE", path: "/users/" + p.id, hangUp: c.hangUp()})
	if o.ID > 0 && o.Outcome != history.Refused {
		p.erase()
	}
}
