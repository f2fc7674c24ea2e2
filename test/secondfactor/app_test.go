package secondfactor_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"user-service/internal/testkit"
)

// post sends a POST request to the API, checks the status, and decodes the answer.
func post(t *testing.T, address, token string, body map[string]any, status int, answer any) {
	t.Helper()
	text, _ := json.Marshal(body)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil || resp.StatusCode != status {
		t.Fatalf("POST %s: the status is %d (%v), want %d: %+v", address, resp.StatusCode, err, status, answer)
	}
}

// output returns what a program prints.
func output(t *testing.T, dir, stdin, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	var failure bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, strings.NewReader(stdin), &failure
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", program, err, failure.String())
	}
	return strings.TrimSpace(string(out))
}

// TestAuthenticatorAppsReadTheURI gives the otpauth URI of a new factor to the library otplib, whose code confirms the factor. A later code,
// from Debian's oathtool with the secret, completes a login.
func TestAuthenticatorAppsReadTheURI(t *testing.T) {
	t.Parallel()
	npm, node, oathtool := testkit.Installed(t, "npm", "node"), testkit.Installed(t, "node", "node"), testkit.Installed(t, "oathtool", "oathtool")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("otp")); err != nil {
		t.Fatal(err)
	}
	output(t, dir, "", npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	home, _ := serve(t)
	home = strings.TrimSuffix(home, "/passkeys.html")
	password := map[string]any{"email": email, "password": goodPassword}

	var tokens struct {
		Access string `json:"access_token"`
	}
	post(t, home+"/login", "", password, 200, &tokens)
	var added struct {
		ID, Secret string
		URI        string `json:"otpauth_uri"`
	}
	post(t, home+"/users/me/factors", tokens.Access, map[string]any{"type": "totp", "current_password": goodPassword}, 201, &added)
	var app struct{ Label, Issuer, Secret, Code string }
	if err := json.Unmarshal([]byte(output(t, dir, added.URI, node, "app.mjs")), &app); err != nil {
		t.Fatal(err)
	}
	if app.Issuer != issuer || app.Label != issuer+":"+email || app.Secret != added.Secret {
		t.Errorf("otplib reads %+v from %s, want the issuer %s, the account %s and the secret %s", app, added.URI, issuer, email, added.Secret)
	}
	var confirmed struct{ Confirmed bool }
	post(t, home+"/users/me/factors/"+added.ID+"/confirm", tokens.Access, map[string]any{"code": app.Code}, 200, &confirmed)

	var required struct{ Challenge string }
	post(t, home+"/login", "", password, 403, &required)
	later := output(t, dir, "", oathtool, "--totp", "--base32", "--now=now + 30 seconds", added.Secret) // the code of now is used up
	second := map[string]any{"challenge": required.Challenge, "code": later}
	post(t, home+"/login/second-factor", "", second, 200, &tokens)
}
