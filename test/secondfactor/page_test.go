// Package secondfactor_test uses second factors with programs of others. Chromium opens the page of docs/second-factor.md, and its virtual
// authenticator registers a passkey and logs in with it. Authenticator apps read the URI of a new factor.
package secondfactor_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/google/uuid"

	"user-service/internal/testkit"
	"user-service/pkg/access"
	"user-service/pkg/factor"
	"user-service/pkg/httpapi"
	"user-service/pkg/password"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/token"
	"user-service/pkg/user"
)

const (
	issuer       = "accounts.example.com"
	email        = "ada+test@example.com"
	goodPassword = "seven green kettles sing"
	maxLines     = 60 // the maximum number of lines of the page
)

// addCredential are the parameters of WebAuthn.addCredential, without members that Chromium refuses for this authenticator.
type addCredential struct {
	AuthenticatorID webauthn.AuthenticatorID `json:"authenticatorId"`
	Credential      map[string]any           `json:"credential"`
}

type unobserved struct{}

func (unobserved) RequestStarted(context.Context, string) func(string, int) {
	return func(string, int) {}
}
func (unobserved) LoginDone(string)   {}
func (unobserved) RefreshDone(string) {}
func (unobserved) Authorized(string)  {}
func (unobserved) RateLimited(string) {}

// file returns a code block of docs/second-factor.md.
func file(t *testing.T, language string) string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/second-factor.md")
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(doc)
	if match == nil {
		t.Fatalf("docs/second-factor.md has no %s", language)
	}
	return string(match[1])
}

// page returns the page of docs/second-factor.md.
func page(t *testing.T) string {
	t.Helper()
	text := file(t, "html")
	if lines := strings.Count(text, "\n"); lines > maxLines {
		t.Errorf("the page has %d lines, want at most %d", lines, maxLines)
	}
	return text
}

// startCaddy runs Caddy with the Caddyfile of docs/second-factor.md until the test ends: with the page, and in front of an API.
func startCaddy(t *testing.T, address, api string) {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"passkeys.html": page(t),
		"Caddyfile": "{\n\tadmin off\n}\n" +
			strings.NewReplacer("localhost:3000", "localhost:"+port(t, address), "localhost:8080", api).Replace(file(t, "caddyfile")),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	output := &testkit.Buffer{}
	caddy := exec.Command(testkit.Installed(t, "caddy", "caddy"), "run")
	caddy.Dir, caddy.Stdout, caddy.Stderr = folder, output, output
	caddy.Env = append(os.Environ(), "XDG_DATA_HOME="+folder, "XDG_CONFIG_HOME="+folder)
	if err := caddy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = caddy.Process.Signal(syscall.SIGTERM)
		_ = caddy.Wait()
		if t.Failed() {
			t.Logf("Caddy printed:\n%s", output)
		}
	})
	testkit.WaitFor(t, "Caddy", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// port returns the port of an address.
func port(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// serve serves the API with the page at two origins. Only the first one is an origin of passkeys: a Caddy in front of the API.
func serve(t *testing.T) (home, other string) {
	t.Helper()
	address := testkit.FreeAddress(t)
	home = "http://localhost:" + port(t, address)
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	keys, keyErr := factor.NewKeys(base64.StdEncoding.EncodeToString(key), "")
	party, partyErr := factor.NewRelyingParty("localhost", "Example", []string{home})
	hasher, hasherErr := password.NewHasher(password.Config{
		Params: password.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1},
		Limits: password.Limits{Concurrency: 1, Queue: 8, MaxWait: 10 * time.Second},
	})
	tokens, tokenErr := token.New(token.Config{
		Keys: token.Keys{Secret: rand.Text() + rand.Text()}, Issuer: "i", Audience: "a", ClientID: "c", AccessTTL: time.Hour,
	})
	for _, err := range []error{keyErr, partyErr, hasherErr, tokenErr} {
		if err != nil {
			t.Fatal(err)
		}
	}
	users := user.New(user.Config{
		Issuer: issuer, DataKeys: keys, RelyingParty: party, Passwords: password.Policy{MinLength: 15}, RefreshIdleTTL: time.Hour, RefreshTTL: time.Hour,
	}, postgrestest.Open(t, nil), hasher, tokens)
	r := user.Registration{Email: email, Password: goodPassword}
	if _, err := users.Create(t.Context(), access.Internal(uuid.Nil), r, access.User); err != nil {
		t.Fatal(err)
	}
	api := httpapi.New(httpapi.Config{}, users, httpapi.NewHealth(slog.New(slog.DiscardHandler)), unobserved{},
		slog.New(slog.DiscardHandler)).Handler()
	html := page(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/passkeys.html" {
			api.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(html))
	}))
	t.Cleanup(server.Close)
	startCaddy(t, address, server.Listener.Addr().String())
	return home + "/passkeys.html", "http://localhost:" + port(t, server.Listener.Addr().String()) + "/passkeys.html"
}

// browse opens a tab of a new browser with a virtual authenticator.
func browse(t *testing.T) (tab context.Context, authenticator webauthn.AuthenticatorID) {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(testkit.Installed(t, "chromium", "chromium")), chromedp.DisableGPU,
		chromedp.Flag("host-resolver-rules", "MAP * 127.0.0.1"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // root can't have the sandbox
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	tab, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(tab, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(tab, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	added, err := chromedp.Call(tab, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{
		Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: "ctap2", Transport: "internal", HasResidentKey: true, HasUserVerification: true, IsUserVerified: true,
			AutomaticPresenceSimulation: true,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tab, added.AuthenticatorID
}

// press loads the page, presses a button, and waits until the page shows the status want.
func press(t *testing.T, tab context.Context, address, button, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, testkit.Timeout)
	defer cancel()
	set := fmt.Sprintf(`document.getElementById('email').value = %q; document.getElementById('password').value = %q`, email, goodPassword)
	if err := chromedp.Do(ctx, chromedp.Navigate(address), chromedp.Evaluate[chromedp.Void](set),
		chromedp.Click(chromedp.CSS("#"+button))); err != nil {
		t.Fatal(err)
	}
	status := ""
	testkit.WaitFor(t, "the end of "+button, func() bool {
		status, _ = chromedp.Run(ctx, chromedp.Evaluate[string](`document.getElementById('status').textContent`))
		return status != "" && status != "Waiting"
	})
	if !strings.HasPrefix(status, want) {
		t.Errorf("after %s at %s, the status is %q, want %q", button, address, status, want)
	}
}

// TestThePageOfTheDocumentationUsesPasskeys registers a passkey and logs in with it. The service refuses it from another origin, and after
// the counter of a cloned authenticator went back.
func TestThePageOfTheDocumentationUsesPasskeys(t *testing.T) {
	t.Parallel()
	home, other := serve(t)
	tab, authenticator := browse(t)
	press(t, tab, home, "add", "Keep your recovery codes: ")
	press(t, tab, home, "use", "Logged in as "+email)
	press(t, tab, home, "use", "Logged in as "+email)
	// The login of a user with a passkey needs it. The browser then refuses to register the same authenticator again.
	press(t, tab, home, "add", "Failed: The user attempted to register an authenticator that contains one of the credentials already registered")
	press(t, tab, other, "use", "Failed: The passkey is unknown or its response is wrong.")

	stored, err := chromedp.Call(tab, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: authenticator})
	if err != nil || len(stored.Credentials) != 1 {
		t.Fatalf("the authenticator has %d passkeys (%v), want one", len(stored.Credentials), err)
	}
	clone := *stored.Credentials[0]
	if clone.SignCount < 2 {
		t.Fatalf("the counter is %v, want at least 2", clone.SignCount)
	}
	if _, err := chromedp.Call(tab, webauthn.ClearCredentials,
		webauthn.ClearCredentialsParams{AuthenticatorID: authenticator}); err != nil {
		t.Fatal(err)
	}
	copied := addCredential{AuthenticatorID: authenticator, Credential: map[string]any{
		"credentialId": clone.CredentialID, "isResidentCredential": true, "rpId": clone.RpID, "privateKey": clone.PrivateKey,
		"userHandle": clone.UserHandle, "signCount": 1,
	}}
	command := cdp.Command[addCredential, cdp.Empty]{Method: webauthn.CommandAddCredential}
	if _, err := chromedp.Call(tab, command, copied); err != nil {
		t.Fatal(err)
	}
	press(t, tab, home, "use", "Failed: The passkey is unknown or its response is wrong.")
}
