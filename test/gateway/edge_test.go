package gateway_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"user-service/internal/testkit"
)

// gateways start a gateway with the configuration of docs/examples until the test ends.
var gateways = map[string]func(t *testing.T, e *edge){
	"nginx": startNginx,
	"Caddy": startCaddy,
}

// edge has the addresses around a gateway. The first three are those on which the gateway listens.
type edge struct {
	shop, internal, admin string
	users, app, bff       string
	adminNetwork          string
	host                  string // without a host, the shop has no TLS
	corsOrigin            string
}

// newEdge returns free addresses for a gateway.
func newEdge(t *testing.T, users, app string) *edge {
	t.Helper()
	return &edge{
		shop: testkit.FreeAddress(t), internal: testkit.FreeAddress(t), admin: testkit.FreeAddress(t), bff: testkit.FreeAddress(t),
		users: users, app: app, adminNetwork: "127.0.0.1/32",
	}
}

// origin is the origin of the shop in browsers.
func (e *edge) origin() string {
	if e.host == "" {
		return "http://" + e.shop
	}
	return "https://" + e.host + e.shop[strings.LastIndex(e.shop, ":"):]
}

// wait waits until a gateway listens on all its addresses.
func (e *edge) wait(t *testing.T) {
	t.Helper()
	for _, address := range []string{e.shop, e.internal, e.admin} {
		testkit.WaitFor(t, "the gateway", func() bool { return accepts(address) })
	}
}

// pages returns the folder with the static pages of the shop.
func pages(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../docs/examples/shop/pages")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func startNginx(t *testing.T, e *edge) {
	t.Helper()
	path, dir := testkit.Installed(t, "nginx", "nginx"), t.TempDir()
	example := read(t, "../../docs/examples/nginx.conf")
	var conf strings.Builder
	if os.Geteuid() == 0 {
		conf.WriteString("user root;\n") // the owner of this directory
	}
	fmt.Fprintf(&conf, "daemon off;\nworker_processes 1;\npid %s/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n", dir)
	conf.WriteString("include /etc/nginx/mime.types;\n")
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&conf, "%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	listen := e.shop
	if e.host != "" {
		listen += " ssl"
		certificate, key := writeCertificate(t, dir, e.host)
		fmt.Fprintf(&conf, "ssl_certificate %s;\nssl_certificate_key %s;\n", certificate, key)
	}
	conf.WriteString(strings.NewReplacer(
		"${SHOP}", listen, "${INTERNAL}", e.internal, "${ADMIN}", e.admin, "${ADMIN_NETWORK}", e.adminNetwork,
		"${USER_SERVICE}", e.users, "${APP}", e.app, "${BFF}", e.bff, "${PAGES}", pages(t), "${CORS_ORIGIN}", e.corsOrigin,
	).Replace(example) + "}\n")
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	startProcess(t, exec.Command(path, "-p", dir, "-e", "stderr", "-c", file))
	e.wait(t)
}

func startCaddy(t *testing.T, e *edge) {
	t.Helper()
	path, dir := testkit.Installed(t, "caddy", "caddy"), t.TempDir()
	example, err := filepath.Abs("../../docs/examples/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "Caddyfile")
	conf := "{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n\tauto_https disable_redirects\n}\nimport " + example + "\n"
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "run", "--config", file, "--adapter", "caddyfile")
	cmd.Env = []string{
		"HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "XDG_DATA_HOME=" + dir,
		"SHOP=" + e.origin(), "BIND=127.0.0.1", "INTERNAL=" + e.internal, "ADMIN=http://" + e.admin, "ADMIN_BIND=127.0.0.1",
		"ADMIN_NETWORK=" + e.adminNetwork, "USER_SERVICE=" + e.users, "APP=" + e.app, "BFF=" + e.bff, "PAGES=" + pages(t),
	}
	if e.corsOrigin != "" {
		cmd.Env = append(cmd.Env, "CORS_ORIGIN="+e.corsOrigin)
	}
	startProcess(t, cmd)
	e.wait(t)
}
