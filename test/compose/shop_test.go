package compose_test

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// optional are variables of the Caddyfile that compose.yaml does not set.
const optional = "CORS_ORIGIN"

// TestTheGatewayHasTheVariablesOfItsFile compares the environment of the gateway with docs/examples/Caddyfile.
func TestTheGatewayHasTheVariablesOfItsFile(t *testing.T) {
	t.Parallel()
	gateway := load(t).Services["gateway"]
	file := read(t, mounted(t, gateway, "/etc/caddy/Caddyfile"))
	named := map[string]bool{}
	for _, m := range regexp.MustCompile(`\{\$([A-Z_]+)[:}]`).FindAllStringSubmatch(file, -1) {
		named[m[1]] = true
	}
	for variable := range named {
		if gateway.Environment[variable] == nil && variable != optional {
			t.Errorf("the gateway has no variable %s", variable)
		}
	}
	for variable := range gateway.Environment {
		if !named[variable] {
			t.Errorf("the Caddyfile does not read %s", variable)
		}
	}
	if pages := mounted(t, gateway, *gateway.Environment["PAGES"]); !strings.Contains(read(t, filepath.Join(pages, "index.html")),
		"The Tea Shop") {
		t.Errorf("%s has no shop", pages)
	}
}

// mounted returns the file or folder that a container has at a path.
func mounted(t *testing.T, service types.ServiceConfig, path string) string {
	t.Helper()
	for _, volume := range service.Volumes {
		if volume.Target == path && volume.ReadOnly {
			return volume.Source
		}
	}
	t.Fatalf("nothing is mounted at %s", path)
	return ""
}

// TestTheServiceTrustsTheShop checks that the gateway and the BFF have fixed addresses, and that the service trusts only these.
func TestTheServiceTrustsTheShop(t *testing.T) {
	t.Parallel()
	project := load(t)
	pool := project.Networks["default"].Ipam.Config[0]
	network, err := netip.ParsePrefix(pool.Subnet)
	if err != nil {
		t.Fatal(err)
	}
	others, err := netip.ParsePrefix(pool.IPRange)
	if err != nil || !network.Contains(others.Addr()) {
		t.Fatalf("the other containers have the range %q (%v), want one in %s", pool.IPRange, err, network)
	}
	var fixed []string
	for _, name := range []string{"gateway", "bff"} {
		address := project.Services[name].Networks["default"].Ipv4Address
		if parsed, err := netip.ParseAddr(address); err != nil || !network.Contains(parsed) || others.Contains(parsed) {
			t.Errorf("%s has the address %q, want one in %s outside of %s", name, address, network, others)
		}
		fixed = append(fixed, address)
	}
	if trusted := *project.Services["service"].Environment["TRUSTED_PROXIES"]; trusted != strings.Join(fixed, ",") {
		t.Errorf("the service trusts %s, want %v", trusted, fixed)
	}
	if network := *project.Services["gateway"].Environment["BFF_NETWORK"]; network != fixed[1]+"/32" {
		t.Errorf("the gateway trusts %s, want the BFF at %s", network, fixed[1])
	}
}

// TestTheImageOfTheShopHasItsPrograms builds the programs as the Dockerfile does, and looks up the flags of compose.yaml in their help.
func TestTheImageOfTheShopHasItsPrograms(t *testing.T) {
	t.Parallel()
	project, dir := load(t), t.TempDir()
	dockerfile := read(t, filepath.Join(root, project.Services["bff"].Build.Dockerfile))
	build := regexp.MustCompile(`go build \S+ -o /shop/ (\S+)`).FindStringSubmatch(dockerfile)
	if build == nil || !strings.Contains(dockerfile, "COPY --from=build /shop /\n") {
		t.Fatalf("the Dockerfile does not copy the programs:\n%s", dockerfile)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-C", root, "-o", dir+"/", build[1]).CombinedOutput(); err != nil {
		t.Fatalf("build the shop: %v: %s", err, out)
	}
	kept := read(t, filepath.Join(root, ".dockerignore"))
	for _, m := range regexp.MustCompile(`(?m)^COPY ([^-]\S*)`).FindAllStringSubmatch(dockerfile, -1) {
		if !strings.Contains(kept, "\n!"+m[1]+"\n") {
			t.Errorf(".dockerignore leaves out %s", m[1])
		}
	}
	for _, name := range []string{"bff", "orders"} {
		service := project.Services[name]
		// has its own exit code
		help, _ := exec.CommandContext(t.Context(), filepath.Join(dir, service.Entrypoint[0]), "-help").CombinedOutput()
		for _, argument := range service.Command {
			if strings.HasPrefix(argument, "-") && !strings.Contains(string(help), "  "+argument+" ") {
				t.Errorf("%s has no flag %s:\n%s", name, argument, help)
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
