package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gateways start a gateway by the example in docs, filled in with addresses.
var gateways = map[string]func(t *testing.T, gateway, service, application string){
	"nginx": startNginx, "Caddy": startCaddy,
}

// example returns a file of docs/examples with the addresses in place of their names.
func example(t *testing.T, name, gateway, service, application string) string {
	t.Helper()
	content, err := os.ReadFile("../../docs/examples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(content)) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.NewReplacer("GATEWAY", gateway, "USER_SERVICE", service, "APPLICATION", application).Replace(line))
		}
	}
	return strings.Join(lines, "")
}

func write(t *testing.T, name, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func startNginx(t *testing.T, gateway, service, application string) {
	t.Helper()
	path, dir := installed(t, "nginx", "nginx"), t.TempDir()
	as := ""
	if os.Geteuid() == 0 {
		as = "user root;"
	}
	config := write(t, "nginx.conf", fmt.Sprintf(`%s daemon off; pid %[2]s/pid; error_log stderr; events {}
		http { access_log off; client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/fastcgi;
		uwsgi_temp_path %[2]s/uwsgi; scgi_temp_path %[2]s/scgi;
		%[3]s }`, as, dir, example(t, "nginx.conf", gateway, service, application)))
	// One process: a killed master would leave its workers behind.
	background(t, gateway, exec.Command(path, "-p", dir, "-c", config, "-e", "stderr", "-g", "master_process off;"))
}

func startCaddy(t *testing.T, gateway, service, application string) {
	t.Helper()
	path := installed(t, "caddy", "caddy")
	config := write(t, "Caddyfile", "{\n\tadmin off\n\tauto_https off\n}\n"+example(t, "Caddyfile", gateway, service, application))
	cmd := exec.Command(path, "run", "--config", config, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	background(t, gateway, cmd)
}

func TestGatewaysAskBeforeTheyLetThrough(t *testing.T) {
	t.Parallel()
	for name, start := range gateways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for _, header := range []string{"X-User-Id", "X-User-Roles", "X-User-Permissions"} {
					w.Header().Set("Seen-"+header, strings.Join(r.Header.Values(header), "|"))
				}
			}))
			t.Cleanup(application.Close)
			s, gateway := startService(t, nil), freeAddress(t)
			start(t, gateway, s.addr, application.Listener.Addr().String())
			ask := func(token string) (status int, seen http.Header) {
				req, err := http.NewRequest(http.MethodPost, "http://"+gateway+"/orders?id=1", strings.NewReader("an order"))
				if err != nil {
					t.Fatal(err)
				}
				if token != "" {
					req.Header.Set("Authorization", "Bearer "+token)
				}
				for _, made := range []string{"X-User-Id", "X-User-Roles", "X-User-Permissions"} {
					req.Header.Set(made, "admin")
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				return resp.StatusCode, resp.Header
			}

			waitFor(t, "the service to be ready", func() bool { status, _ := ask(""); return status == http.StatusUnauthorized })
			id, token := s.login()
			status, seen := ask(token)
			if status != http.StatusOK || seen.Get("Seen-X-User-Id") != id ||
				seen.Get("Seen-X-User-Roles") != "user" || seen.Get("Seen-X-User-Permissions") != "" {
				t.Errorf("%d, and the application sees %v, want the caller %s and nothing of its own headers", status, seen, id)
			}
			s.post("/logout", token, nil)
			for what, token := range map[string]string{"an ended session": token, "a bad token": "bad"} {
				if status, _ := ask(token); status != http.StatusUnauthorized {
					t.Errorf("%s is answered %d", what, status)
				}
			}
		})
	}
}
