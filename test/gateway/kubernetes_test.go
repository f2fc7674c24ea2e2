package gateway_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"user-service/internal/testkit"
)

// annotation returns an annotation of the Ingress in docs/go-live.md.
func annotation(t *testing.T, name string) string {
	t.Helper()
	m := regexp.MustCompile(`nginx\.ingress\.kubernetes\.io/` + name + `: (\S+)`).FindStringSubmatch(read(t, "../../docs/go-live.md"))
	if m == nil {
		t.Fatalf("docs/go-live.md has no annotation %s", name)
	}
	return m[1]
}

// startIngress starts nginx with the directives that ingress-nginx writes for the annotations in docs/go-live.md.
func startIngress(t *testing.T, s *stage) {
	t.Helper()
	path, dir := testkit.Installed(t, "nginx", "nginx"), t.TempDir()
	var conf strings.Builder
	if os.Geteuid() == 0 {
		conf.WriteString("user root;\n") // the owner of this directory
	}
	fmt.Fprintf(&conf, "daemon off;\nworker_processes 1;\npid %s/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n", dir)
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&conf, "%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	size := annotation(t, "proxy-buffer-size")
	verify := strings.Replace(annotation(t, "auth-url"), "user-service.users.svc.cluster.local", s.addr, 1)
	// The size of request headers is the setting large-client-header-buffers of the controller, which the page names.
	fmt.Fprintf(&conf, "large_client_header_buffers 4 16k;\nserver {\nlisten %s;\nlocation = /_external-auth {\ninternal;\n"+
		"proxy_pass_request_body off;\nproxy_set_header Content-Length \"\";\nproxy_set_header X-Forwarded-For $remote_addr;\n"+
		"proxy_buffering off;\nproxy_buffer_size %s;\nproxy_buffers 4 %s;\nproxy_pass %s;\n}\n", s.shop, size, size, verify)
	conf.WriteString("location /api/ {\nauth_request /_external-auth;\n")
	for i, header := range strings.Split(annotation(t, "auth-response-headers"), ",") {
		variable := strings.ReplaceAll(strings.ToLower(header), "-", "_")
		fmt.Fprintf(&conf,
			"auth_request_set $authHeader%d $upstream_http_%s;\nproxy_set_header '%s' $authHeader%d;\n", i, variable, header, i)
	}
	fmt.Fprintf(&conf, "proxy_pass http://%s;\n}\n}\n}\n", s.app.addr)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	startProcess(t, exec.Command(path, "-p", dir, "-e", "stderr", "-c", file))
	testkit.WaitFor(t, "nginx", func() bool { return accepts(s.shop) })
}

func TestTheAnnotationsOfGoLiveGuardTheApp(t *testing.T) {
	t.Parallel()
	one := startService(t)
	s := &stage{service: one.of(t), app: startApp(t)}
	s.edge = newEdge(t, s.addr, s.app.addr)
	startIngress(t, s)

	s.wantRefusal(t, "", forged)
	user := s.logIn("user")
	status, _, got := s.post(t, user.token, forged)
	want := arrival{
		Request:  "POST /api/orders?page=2 one tea",
		Identity: map[string]string{"X-User-Id": user.id, "X-User-Email-Verified": "false", "X-User-Roles": "user"},
	}
	if diff := cmp.Diff(want, got); status != 200 || diff != "" {
		t.Errorf("%d, and the request at the app (-want +got):\n%s", status, diff)
	}
	s.logOut(user)
	s.wantRefusal(t, user.token, nil)
}
