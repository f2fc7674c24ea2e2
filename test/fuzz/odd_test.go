package fuzz_test

import (
	"strings"
)

// oddities make a request unusual for its operation. If net/http may refuse the request, they set malformed.
var oddities = []func(*generator, *wire){
	func(g *generator, w *wire) {
		w.method = pick(g, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "M-SEARCH", "X")
	},
	func(_ *generator, w *wire) { w.method = "HEAD" },
	func(g *generator, w *wire) { w.target = pick(g, oddTargets...) },
	func(g *generator, w *wire) {
		w.target = w.target + pick(g, "/", "/x", "%2f", "%00", ";a=b", "/../..", "//", "?", "#", ".json", "%20")
	},
	func(g *generator, w *wire) {
		w.target = strings.Replace(w.target, "/", pick(g, "//", "/./", "/../", "/%2e/", "\\", "/%75"), 1)
	},
	func(_ *generator, w *wire) { w.proto = "HTTP/1.0" },
	func(g *generator, w *wire) {
		w.add("Authorization", pick(g, "Bearer x", "Bearer "+g.caller.access, ""))
		g.as = customer // the added token may be the only one
	},
	func(g *generator, w *wire) { w.add("X-Request-Id", "twice") },
	func(g *generator, w *wire) { g.malformed = true; w.add("Expect", pick(g, "100-continue", "200-ok")) },
	func(g *generator, w *wire) {
		g.malformed = true
		w.target = pick(g, "http://example.com"+w.target, "*", "", "no-slash", "/ /", "/%zz")
	},
	func(g *generator, w *wire) { g.malformed = true; w.add(pick(g, "A\x00", "A B", "A:", "", "É"), "a") },
	func(g *generator, w *wire) { g.malformed = true; w.add("X", pick(g, "a\x00b", "a\rb", "\x7f")) },
	func(g *generator, w *wire) {
		g.malformed = true
		w.add("X", strings.Repeat("a", pick(g, 15_000, 17_000, 30_000)))
	},
	func(g *generator, w *wire) {
		g.malformed = true
		w.proto = pick(g, "HTTP/2.0", "HTTP/9.9", "HTTP/1.x", "http/1.1")
	},
	func(g *generator, w *wire) {
		g.malformed = true
		w.add("Transfer-Encoding", pick(g, "gzip", "identity", "chunked, chunked"))
	},
	func(g *generator, w *wire) {
		g.malformed = true
		w.add("Content-Length", pick(g, "-1", "a", "99999999999999999999"))
	},
	func(g *generator, w *wire) { g.malformed = true; w.add("Host", "twice") },
}

var oddTargets = []string{
	"/", "/favicon.ico", "/robots.txt", "/Users/me", "/users/me/", "/users/me/friends", "/users/me/sessions/",
	"/.well-known/openid-configuration", "/.git/config", "/metrics",
	"/debug/pprof/", "/docs/", "/docs/init.js", "/docs/../users/me", "/docs/%2e%2e/users", "/roles/a/b", "/login/", "/verify/",
	"/verify//", "/verify%2fa", "/%ff", "/%00", "/users/%6de",
	"/" + strings.Repeat("a", 5000), "/" + strings.Repeat("a/", 500),
}

func (g *generator) odd(w *wire) { oddities[g.IntN(len(oddities))](g, w) }
