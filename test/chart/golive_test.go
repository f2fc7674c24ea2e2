package chart_test

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

const goLive = "docs/go-live.md"

// goLiveBlocks returns the YAML blocks of docs/go-live.md, or of one of its sections.
func goLiveBlocks(t *testing.T, heading string) (blocks []string) {
	t.Helper()
	text := string(read(t, goLive))
	if heading != "" {
		_, rest, found := strings.Cut(text, "\n"+heading+"\n")
		if !found {
			t.Fatalf("%s has no section %s", goLive, heading)
		}
		text = regexp.MustCompile(`(?m)^#{2,3} `).Split(rest, 2)[0]
	}
	for _, m := range block.FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

func TestEachExampleOfGoLiveIsValid(t *testing.T) {
	t.Parallel()
	blocks := goLiveBlocks(t, "")
	if len(blocks) < 9 {
		t.Fatalf("%s has only %d examples", goLive, len(blocks))
	}
	for _, text := range blocks {
		check(t, text)
	}
}

// TestTheURLOfGoLiveKeepsThePassword renders the URL of the database as External Secrets does, with the characters that a URL reserves.
func TestTheURLOfGoLiveKeepsThePassword(t *testing.T) {
	t.Parallel()
	var uri string
	for _, text := range goLiveBlocks(t, "## 1. The database") {
		for _, document := range documents(t, []byte(text)) {
			uri += parse[struct {
				Spec struct {
					Target struct {
						Template struct{ Data struct{ URI string } }
					}
				}
			}](t, document).Spec.Target.Template.Data.URI
		}
	}
	replace := func(old, with, text string) string { return strings.ReplaceAll(text, old, with) }
	uriTemplate := template.Must(template.New("uri").Option("missingkey=error").Funcs(template.FuncMap{"replace": replace}).Parse(uri))
	for _, password := range []string{"p%/x", "a b+c", `:/?#[]@!$&'()*+,;="<>\^{|}~`, "%20", "schlüssel"} {
		var rendered strings.Builder
		secret := map[string]string{
			"username": "users_service", "password": password, "host": "db.example.com", "port": "5432", "dbname": "users",
		}
		if err := uriTemplate.Execute(&rendered, secret); err != nil {
			t.Fatal(err)
		}
		parsed, err := url.Parse(rendered.String())
		if err != nil {
			t.Errorf("the password %s gives an invalid URL: %v", password, err)
			continue
		}
		if got, _ := parsed.User.Password(); got != password {
			t.Errorf("the password %s becomes %s", password, got)
		}
		parsed.User = nil
		if parsed.String() != "postgresql://db.example.com:5432/users" {
			t.Errorf("with the password %s, the URL leads to %s", password, parsed)
		}
	}
}

// TestEachGatewayOfGoLiveSetsTheFourHeaders checks that no header of a client reaches the application.
func TestEachGatewayOfGoLiveSetsTheFourHeaders(t *testing.T) {
	t.Parallel()
	for _, gateway := range []string{"### Gateway API with Envoy Gateway", "### Traefik", "### Istio", "### ingress-nginx"} {
		text := strings.ToLower(strings.Join(goLiveBlocks(t, gateway), ""))
		for _, header := range []string{"x-user-id", "x-user-email-verified", "x-user-roles", "x-user-permissions"} {
			if !strings.Contains(text, header) {
				t.Errorf("%s does not replace %s", gateway, header)
			}
		}
		if !strings.Contains(text, "/verify") {
			t.Errorf("%s does not ask /verify", gateway)
		}
	}
}

// publicPaths maps paths of the user service to whether docs/gateways.md publishes them.
var publicPaths = map[string]bool{
	"/register": true, "/login": true, "/login/second-factor": true, "/refresh": true, "/logout": true, "/password-reset": true,
	"/password-reset/confirm": true, "/email-verification": true, "/email-verification/confirm": true, "/invitation/confirm": true,
	"/users/me": true, "/users/me/sessions": true, "/.well-known/jwks.json": true,
	"/users": false, "/users/0195c4a0-0000-7000-8000-000000000000": false, "/users/menace": false, "/roles": false, "/audit-events": false,
	"/introspect": false, "/docs": false, "/openapi.json": false, "/healthz": false, "/readyz": false, "/verify": false, "/metrics": false,
	"/registered": false, "/logins": false,
}

// published reports whether a path matches the pattern of an Ingress or an HTTPRoute, by the rules of Kubernetes.
func published(pathType, pattern, path string) bool {
	return path == pattern || strings.HasSuffix(pathType, "Prefix") && strings.HasPrefix(path, strings.TrimSuffix(pattern, "/")+"/")
}

func TestTheHostOfGoLivePublishesThePublicPaths(t *testing.T) {
	t.Parallel()
	type rule struct {
		Matches []struct{ Path struct{ Type, Value string } }
	}
	var rules []rule
	text, _ := yaml.Marshal(parse[map[string]any](t, []byte(goLiveBlocks(t, "## 6. The values file")[0])))
	for _, document := range documents(t, []byte(renders(t, parse[map[string]any](t, text)))) {
		route := parse[struct {
			Kind string
			Spec struct{ Rules []rule }
		}](t, document)
		if route.Kind == "HTTPRoute" {
			rules = append(rules, route.Spec.Rules...)
		}
	}
	for path, want := range publicPaths {
		got := slices.ContainsFunc(rules, func(r rule) bool {
			return slices.ContainsFunc(r.Matches, func(m struct{ Path struct{ Type, Value string } }) bool {
				return published(m.Path.Type, m.Path.Value, path)
			})
		})
		if got != want {
			t.Errorf("the HTTPRoute publishes %s: %v, want %v", path, got, want)
		}
	}
}

func TestTheIngressOfProductionPublishesThePublicPaths(t *testing.T) {
	t.Parallel()
	var paths []networkingv1.HTTPIngressPath
	for _, object := range objects(t, render(t, "helm", production+"values.yaml")) {
		if ingress, ok := object.(*networkingv1.Ingress); ok {
			for _, rule := range ingress.Spec.Rules {
				paths = append(paths, rule.HTTP.Paths...)
			}
		}
	}
	for path, want := range publicPaths {
		if got := slices.ContainsFunc(paths, func(p networkingv1.HTTPIngressPath) bool {
			return published(string(*p.PathType), p.Path, path)
		}); got != want {
			t.Errorf("the Ingress publishes %s: %v, want %v", path, got, want)
		}
	}
}

// TestTheExpressionOfGoLivePublishesThePublicPaths also checks the rewritten path: the group of the regular expression.
func TestTheExpressionOfGoLivePublishesThePublicPaths(t *testing.T) {
	t.Parallel()
	var pattern string
	for _, text := range goLiveBlocks(t, "## 8. Below a path prefix") {
		for _, m := range regexp.MustCompile(`path: (/auth/\(.*)`).FindAllStringSubmatch(text, -1) {
			pattern = m[1]
		}
	}
	expression := regexp.MustCompile("(?i)^" + pattern)
	for path, want := range publicPaths {
		m := expression.FindStringSubmatch("/auth" + path)
		if got := m != nil; got != want {
			t.Errorf("the expression publishes %s: %v, want %v", path, got, want)
		}
		if m != nil && "/"+m[1] != path {
			t.Errorf("/auth%s leads to /%s", path, m[1])
		}
	}
}
