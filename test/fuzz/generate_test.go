package fuzz_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"user-service/test/fuzz/contract"
)

// generator creates request number n. Its choices depend only on the seed and the number. Ids, emails and tokens are the current
// ones of the accounts.
type generator struct {
	*rand.Rand
	number int
	c      *contract.Contract
	p      *people

	op             *contract.Operation // nil: an unknown operation
	as             kind
	callerSlot     int
	caller, target person
	targetKind     kind
	targetSlot     int
	good           bool // values are valid for the service, as far as possible
	malformed      bool // net/http may refuse the request before a handler gets it
}

func newGenerator(c *contract.Contract, p *people, number int) *generator {
	g := &generator{Rand: rand.New(rand.NewPCG(*seed, uint64(number))), number: number, c: c, p: p}
	g.callerSlot, g.targetSlot = g.IntN(slots), g.IntN(slots)
	g.targetKind = []kind{customer, customer, customer, reader, admin, disabled}[g.IntN(6)]
	return g
}

// second returns the generator of a concurrent request, by and about the same account.
func (g *generator) second() *generator {
	other := newGenerator(g.c, g.p, g.number)
	other.Rand = rand.New(rand.NewPCG(*seed, uint64(g.number)|1<<63))
	other.targetKind, other.targetSlot, other.callerSlot = g.targetKind, g.targetSlot, g.callerSlot
	return other
}

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *generator, values ...T) T { return values[g.IntN(len(values))] }

// request creates a request.
func (g *generator) request() *wire {
	g.op = g.operation()
	g.as = g.who()
	g.caller = g.p.get(g.as, g.callerSlot)
	if g.op.ID == "sendInvitation" && g.chance(70) {
		g.targetKind = invited
	}
	g.target = g.p.get(g.targetKind, g.targetSlot)
	if (g.op.ID == "deleteUser" || strings.HasPrefix(g.op.ID, "end")) && g.chance(50) { // mostly by its own user
		g.target = g.caller
	}
	w := &wire{method: g.op.Method, proto: "HTTP/1.1", target: g.path() + g.query()}
	if value := g.p.authorization(g.as, g.caller, g.IntN(30)); value != "" {
		w.add("Authorization", value)
	}
	w.add("X-Forwarded-For", g.address())
	g.headers(w)
	g.body(w)
	if g.chance(6) {
		g.odd(w)
	}
	// The header is limited to 16 KiB with a small margin, and to 256 commas.
	header := w.bytes("")
	header = header[:len(header)-len(w.body)]
	g.malformed = g.malformed || !strings.HasPrefix(w.target, "/") || len(header) > 14<<10 || bytes.Count(header, []byte(",")) > 250
	return w
}

// operation chooses an operation. Operations without parameters and caller are chosen less often.
func (g *generator) operation() *contract.Operation {
	for {
		op := g.c.Operations[g.IntN(len(g.c.Operations))]
		if op.Method != http.MethodGet || !op.Anonymous || g.chance(20) {
			return op
		}
	}
}

func (g *generator) who() kind {
	if g.op.Anonymous && g.chance(80) {
		return nobody
	}
	if g.op.Tag == "Administration" && g.chance(50) {
		return admin
	}
	return pick(g, customer, customer, customer, customer, customer, customer, customer, customer, admin, admin, admin, admin, admin,
		admin, admin,
		reader, reader, disabled, ended, expired, forged, forged, garbage, nobody)
}

// address returns a client's address. Few requests share an address, so that quotas refuse few requests.
func (g *generator) address() string {
	switch n := g.IntN(100); {
	case n < 3:
		return "192.0.2.1"
	case n < 6:
		return pick(g, "", "not an address", "1.2.3.4, 127.0.0.1", "[2001:db8::1]:80", "10.0.0.1:1234", "\xff", "2001:db8::1%eth0",
			strings.Repeat("1.1.1.1,", 500))
	case n < 50:
		return fmt.Sprintf("2001:%x:%x::1", g.IntN(0xffff), g.IntN(0xffff))
	default:
		return fmt.Sprintf("10.%d.%d.%d", g.IntN(256), g.IntN(256), g.IntN(256))
	}
}

// path fills in the path parameters.
func (g *generator) path() string {
	path := g.op.Path
	for _, p := range g.op.Params {
		if p.In == "path" {
			path = strings.Replace(path, "{"+p.Name+"}", g.segment(p), 1)
		}
	}
	return path
}

func (g *generator) segment(p contract.Param) string {
	if g.chance(8) {
		return url.PathEscape(g.oddText(p.Schema))
	}
	switch p.Name {
	case "id":
		return pick(g, "me", "me", g.caller.id, g.target.id, g.target.id, g.target.id, uuid.UUID{6: 0x70, 15: byte(g.IntN(256))}.String())
	case "session_id":
		return pick(g, g.caller.session, g.target.session, g.target.session, uuid.Nil.String())
	case "name":
		return pick(g, "fuzz-a", "fuzz-b", "fuzz-c", "admin", "user", "not-there", fmt.Sprintf("fuzz-%d", g.IntN(50)))
	case "path":
		return pick(g, "orders", "a/b/c", "", "%2e%2e/x", "a//b", "%ff%00")
	}
	return url.PathEscape(fmt.Sprint(g.maker().Value(p.Schema)))
}

// oddText returns a text that is invalid or only just valid.
func (g *generator) oddText(s *contract.Schema) string {
	value := g.maker().Value(s)
	if variants := contract.Variants(s, value); len(variants) > 0 && g.chance(60) {
		return fmt.Sprint(variants[g.IntN(len(variants))].Value)
	}
	return pick(g, oddTexts...)
}

// oddTexts are texts that some programs handle incorrectly.
var oddTexts = []string{
	"", " ", "\x00", "a\x00b", "\xff\xfe", "\xed\xa0\x80", "ä", "a\u0308", "\u202eabc", "\u200b", "\ufeff",
	"ﬁ", "İ", "ß", "😀", "👨\u200d👩\u200d👧",
	"null", "true", "-1", "1e400",
	"0x10", "NaN", "../../etc/passwd", "%s%n%p", "'; DROP TABLE users; --", "\\", "\"", "<script>alert(1)</script>", "{{7*7}}",
	"${jndi:ldap://x}", "a\r\nb: c",
	strings.Repeat("a", 321), strings.Repeat("ä", 5000), strings.Repeat("\u0301", 300), "me ", "ME", "%", "_", "a,b", "*", "0",
	"00000000-0000-0000-0000-000000000000",
	"FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "9223372036854775808", "=?utf-8?q?a?=@example.com", "a@b", "@", "a@[127.0.0.1]",
	"xn--a@xn--a.example",
}

// query fills in the query parameters.
func (g *generator) query() string {
	var pairs []string
	for _, p := range g.op.Params {
		if p.In != "query" || g.chance(65) {
			continue
		}
		value := g.queryValue(p)
		pairs = append(pairs, p.Name+"="+url.QueryEscape(value))
		if g.chance(4) { // twice
			pairs = append(pairs, p.Name+"="+url.QueryEscape(value))
		}
	}
	if g.chance(4) {
		pairs = append(pairs, pick(g, "unknown=1", "%zz", "a;b", "=", "&&", "limit", "%00=%ff", strings.Repeat("x=1&", 300)))
	}
	if len(pairs) == 0 {
		return ""
	}
	return "?" + strings.Join(pairs, "&")
}

func (g *generator) queryValue(p contract.Param) string {
	if g.chance(15) {
		return g.oddText(p.Schema)
	}
	switch p.Name {
	case "email":
		return pick(g, g.target.email, strings.ToUpper(g.target.email))
	case "q":
		return pick(g, "person", "PERSON-1", "%", "a")
	case "role":
		return pick(g, "admin", "user", "reader", "fuzz-a")
	case "user_id":
		return pick(g, "me", g.target.id)
	case "action":
		return pick(g, "authn_login_fail", "user_updated")
	}
	return fmt.Sprint(g.maker().Value(p.Schema))
}

// headers adds conditions, a request id and some unusual header fields.
func (g *generator) headers(w *wire) {
	for _, p := range g.op.Params {
		if p.In != "header" || g.chance(75) {
			continue
		}
		switch p.Name {
		case "Idempotency-Key":
			fresh := fmt.Sprintf("%q", fmt.Sprint("key-", g.number))
			used := fmt.Sprintf("%q", fmt.Sprint("key-", g.IntN(g.number+1)))
			w.add(p.Name, pick(g, fresh, fresh, used, `""`, `"`, "key", `"a";b=1`, `"\"`, "\"ä\"", `"`+strings.Repeat("x", 129)+`"`))
			if g.chance(5) {
				w.add(p.Name, fresh)
			}
		case "If-Match", "If-None-Match":
			tag := fmt.Sprintf("%q", fmt.Sprint(1+g.IntN(4)))
			w.add(p.Name, pick(g, tag, tag, "*", "W/"+tag, tag+`, "9"`, "9", `"`, "", ",,", strings.Repeat(`"1",`, 1000), "\xff"))
			if g.chance(5) {
				w.add(p.Name, tag)
			}
		default:
			w.add(p.Name, pick(g, fmt.Sprintf("fuzz-%d", g.number), "", "a b", strings.Repeat("a", 129), "\xff", "ä"))
		}
	}
	if g.chance(10) {
		w.add("User-Agent", pick(g, "curl/8", "", "\xff\xfe", "\u202eabc", strings.Repeat("a", 2000)))
	}
	if g.chance(3) {
		w.add(pick(g, "Accept", "Accept-Encoding", "Range", "Origin", "Prefer", "Idempotency-Key", "Traceparent", "Cookie",
			"X-Http-Method-Override", "Upgrade"),
			pick(g, "text/html;q=0", "gzip", "bytes=0-1", "null", "*/*",
				"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "DELETE",
				"\xff", "websocket"))
	}
}
