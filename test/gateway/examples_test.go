package gateway_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"user-service/internal/testkit"
)

var variable = regexp.MustCompile(`\$\{([A-Z_]+)\}|\{\$([A-Z_]+)[:}]`)

// TestTheGuideExplainsTheVariablesOfTheGateways looks for each variable of the configurations in the commands and in the table of
// docs/gateways.md.
func TestTheGuideExplainsTheVariablesOfTheGateways(t *testing.T) {
	t.Parallel()
	guide := read(t, "../../docs/gateways.md")
	for _, name := range []string{"nginx.conf", "Caddyfile"} {
		found := variable.FindAllStringSubmatch(read(t, "../../docs/examples/"+name), -1)
		if len(found) < 9 {
			t.Errorf("%s has only %d variables", name, len(found))
		}
		for _, m := range found {
			v := m[1] + m[2]
			if !strings.Contains(guide, "`"+v+"`") {
				t.Errorf("the guide has no row for %s of %s", v, name)
			}
			if name == "nginx.conf" && (!strings.Contains(guide, v+"=") || !strings.Contains(guide, "$"+v)) {
				t.Errorf("the command of the guide does not set %s", v)
			}
		}
	}
}

// linkOfAMail matches a row of the table of links: the page, the request of the page, and the members of its body.
var linkOfAMail = regexp.MustCompile("(?m)^\\| `(/[a-z-]+)#token=…` \\| `POST (/[a-z/-]+)` with (.+) \\|$")

// TestTheShopHasThePagesOfTheMails looks up each link of docs/mail.md in the pages, the BFF and the gateways.
func TestTheShopHasThePagesOfTheMails(t *testing.T) {
	t.Parallel()
	links := linkOfAMail.FindAllStringSubmatch(read(t, "../../docs/mail.md"), -1)
	if len(links) != 3 {
		t.Fatalf("the table has %d links, want 3", len(links))
	}
	bff := read(t, "../../docs/examples/shop/bff/main.go")
	for _, link := range links {
		page, request := read(t, "../../docs/examples/shop/pages"+link[1]+".html"), link[2]
		if !strings.Contains(page, `action="/bff`+request+`"`) {
			t.Errorf("the page %s does not send %s", link[1], request)
		}
		for _, member := range strings.Split(link[3], " and ") {
			if !strings.Contains(page, `name="`+strings.Trim(member, "`")+`"`) {
				t.Errorf("the page %s has no field %s", link[1], member)
			}
		}
		if !strings.Contains(bff, `"POST `+request+`"`) {
			t.Errorf("the BFF does not forward %s", request)
		}
		for _, gateway := range []string{"nginx.conf", "Caddyfile"} {
			pattern := regexp.MustCompile(`\^/auth/\S+\$`).FindString(read(t, "../../docs/examples/"+gateway))
			if !regexp.MustCompile(pattern).MatchString("/auth" + request) {
				t.Errorf("%s does not publish %s", gateway, request)
			}
		}
	}
}

// TestTheBFFIsShort checks that the BFF is as short as docs/front-ends.md says.
func TestTheBFFIsShort(t *testing.T) {
	t.Parallel()
	if n := strings.Count(read(t, "../../docs/examples/shop/bff/main.go"), "\n"); n > 150 {
		t.Errorf("the BFF has %d lines, the guide says at most 150", n)
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

// TestMakeShopRunsTheShop starts the script of make shop with each gateway.
func TestMakeShopRunsTheShop(t *testing.T) {
	t.Parallel()
	s := startService(t, "TRUSTED_PROXIES=127.0.0.1")
	user := s.logIn("user")
	for _, gateway := range []string{"nginx", "caddy"} {
		t.Run(gateway, func(t *testing.T) {
			t.Parallel()
			testkit.Installed(t, gateway, gateway)
			e := newEdge(t, s.addr, testkit.FreeAddress(t))
			cmd := exec.Command("../../tools/dev/shop", gateway)
			cmd.Env = append(os.Environ(), "AMQP_URL=", "USER_SERVICE="+s.addr, "SHOP_ADDR="+e.shop, "BFF_ADDR="+e.bff,
				"INTERNAL_ADDR="+e.internal, "ORDERS_ADDR="+e.app, "ADMIN_ADDR="+e.admin, "CORS_ORIGIN=https://app.example.org")
			startProcess(t, cmd)
			e.wait(t)
			testkit.WaitFor(t, "the BFF", func() bool { return accepts(e.bff) })
			_, port, _ := strings.Cut(e.shop, ":")
			p := newPerson(t, fmt.Sprintf("http://localhost:%s", port))
			p.logInAs(user.email, secret)
			if c := p.cookies()[0]; c.Name != "session" || !c.HTTPOnly || c.SameSite != "Strict" {
				t.Errorf("the cookie is %+v", *c)
			}
			if got := allowedOrigin(t, "http://localhost:"+port+"/auth/login", "https://app.example.org"); got != "https://app.example.org" {
				t.Errorf("the gateway allows the origin %q, want that of CORS_ORIGIN", got)
			}
		})
	}
}

// allowedOrigin sends a preflight request, and returns the origin that the answer allows.
func allowedOrigin(t *testing.T, address, origin string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", origin)
	req.Header.Set("Access-Control-Request-Method", http.MethodPost)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.Header.Get("Access-Control-Allow-Origin")
}
