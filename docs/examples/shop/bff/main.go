// Bff is the backend for the frontend of the sample shop (RFC 10017 section 6.1): see docs/front-ends.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:3001", "the address, which only the gateway may reach")
	shop := flag.String("shop", "http://localhost:3000", "the origin of the shop in browsers")
	users := flag.String("users", "http://127.0.0.1:8080", "the user service")
	api := flag.String("api", "http://127.0.0.1:3002/api", "the guarded API, at the internal address of the gateway")
	flag.Parse()
	tls := strings.HasPrefix(*shop, "https:") // RFC 10017 section 6.1.3.2 has the rules for cookies
	b := &bff{users: *users, cookie: map[bool]string{false: "session", true: "__Host-Http-session"}[tls]}
	log.Fatal((&http.Server{Addr: *listen, Handler: b.handler(*api), ReadHeaderTimeout: 10 * time.Second}).ListenAndServe())
}

// bff finds the session of a request by its refresh token, which is in the cookie.
type bff struct {
	users, cookie string // the address of the user service, the name of the cookie
	sessions      sync.Map
}

type session struct {
	mu      sync.Mutex
	renew   time.Time
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Seconds int    `json:"expires_in"`
}

// handler forwards these operations and no others, because access tokens go with them (RFC 10017 section 6.1.3.6).
func (b *bff) handler(api string) http.Handler {
	mux := http.NewServeMux()
	forward := func(server string, as http.RoundTripper, change func(*http.Response) error, operations ...string) {
		target, err := url.Parse(server)
		if err != nil {
			log.Fatal(err)
		}
		for _, operation := range operations {
			mux.Handle(operation, &httputil.ReverseProxy{Transport: as, ModifyResponse: change, Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
				if as == nil { // no session
					r.Out.Header.Del("Cookie")
				}
			}})
		}
	}
	forward(b.users, nil, b.openSession, "POST /login", "POST /register", "POST /email-verification/confirm", "POST /invitation/confirm",
		"POST /password-reset", "POST /password-reset/confirm")
	forward(b.users, b, b.openSession, "PUT /users/me/password")
	forward(b.users, b, nil, "GET /users/me", "POST /email-verification", "POST /logout")
	forward(api, b, nil, "GET /orders", "POST /orders")
	return http.StripPrefix("/bff", http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Shop") == "" { // pages of other origins can't send this header
			http.Error(w, "the header X-Shop is missing", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})))
}

// openSession keeps the tokens of a response, and sets a cookie instead.
func (b *bff) openSession(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return nil
	}
	s := &session{}
	err := b.keep(s, resp)
	resp.StatusCode, resp.Body, resp.ContentLength = http.StatusNoContent, http.NoBody, 0
	resp.Header = http.Header{"Set-Cookie": {b.cookieWith(s.Refresh, false)}}
	return err
}

// keep reads the tokens of a session. Earlier refresh tokens lead to the session for a while, as the browser may miss a new cookie.
func (b *bff) keep(s *session, resp *http.Response) error {
	earlier := s.Refresh
	err := errors.Join(json.NewDecoder(resp.Body).Decode(s), resp.Body.Close())
	current, lifetime := s.Refresh, time.Duration(s.Seconds)*time.Second
	s.renew = time.Now().Add(lifetime * 9 / 10)
	b.sessions.Store(current, s)
	time.AfterFunc(2*lifetime, func() { b.sessions.Delete(earlier); b.sessions.Delete(current) })
	return err
}

// RoundTrip sends a request with the access token of its session. If the session has ended, it deletes the cookie.
func (b *bff) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	cookie, err := r.Cookie(b.cookie)
	if err != nil {
		return &http.Response{StatusCode: http.StatusUnauthorized, Body: http.NoBody}, nil
	}
	r.Header.Del("Cookie")
	refresh, logout := cookie.Value, strings.HasSuffix(r.URL.Path, "/logout")
	if logout { // with the refresh token, because the access token may have expired
		resp, err = b.show(cookie.Value, "/logout", r)
	} else if refresh, resp, err = b.authorize(r, cookie.Value); err == nil && resp == nil {
		resp, err = http.DefaultTransport.RoundTrip(r)
	}
	ended := err == nil && (resp.StatusCode == http.StatusUnauthorized || logout && resp.StatusCode == http.StatusNoContent)
	if ended || err == nil && refresh != cookie.Value {
		resp.Header.Set("Set-Cookie", b.cookieWith(refresh, ended))
	}
	return resp, err
}

// authorize adds the access token, or returns the response of a failed refresh. Concurrent requests wait for one refresh.
func (b *bff) authorize(r *http.Request, cookie string) (refresh string, failure *http.Response, err error) {
	found, _ := b.sessions.LoadOrStore(cookie, &session{Refresh: cookie})
	s := found.(*session)
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().After(s.renew) {
		if resp, err := b.show(s.Refresh, "/refresh", r); err != nil || resp.StatusCode != http.StatusOK || b.keep(s, resp) != nil {
			b.sessions.Delete(cookie)
			return cookie, resp, err
		}
	}
	r.Header.Set("Authorization", "Bearer "+s.Access)
	return s.Refresh, nil, nil
}

// show sends a refresh token to the user service, and ignores that the browser leaves: the response may have the next one.
func (b *bff) show(refresh, path string, r *http.Request) (*http.Response, error) {
	body, _ := json.Marshal(map[string]string{"refresh_token": refresh})
	q, _ := http.NewRequestWithContext(context.WithoutCancel(r.Context()), http.MethodPost, b.users+path, strings.NewReader(string(body)))
	q.Header = http.Header{"Content-Type": {"application/json"}, "User-Agent": {r.UserAgent()}, "X-Forwarded-For": r.Header["X-Forwarded-For"]}
	return http.DefaultTransport.RoundTrip(q)
}

// cookieWith returns the cookie of a session, or deletes the cookie if the session has ended.
func (b *bff) cookieWith(refresh string, ended bool) string {
	//nolint:gosec // G124: http://localhost has no TLS, so Secure is not constant
	c := http.Cookie{Name: b.cookie, Value: refresh, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if c.MaxAge, c.Secure = 90*24*60*60, b.cookie != "session"; ended { // REFRESH_TOKEN_TTL
		c.Value, c.MaxAge = "", -1
	}
	return c.String()
}
