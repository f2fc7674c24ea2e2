package fuzz_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"user-service/test/fuzz/contract"
)

func (g *generator) maker() *contract.Maker { return &contract.Maker{Rand: g.Rand, Hint: g.hint} }

// body adds a body: mostly a valid one, otherwise one that breaks a keyword or is not JSON.
func (g *generator) body(w *wire) {
	if g.op.Body == nil {
		if g.chance(5) {
			w.add("Content-Type", "application/json")
			w.body = []byte(pick(g, "{}", "{", "\xff", strings.Repeat("a", 70_000)))
		}
		return
	}
	medias := slices.Sorted(maps.Keys(g.op.Body.Content))
	media := medias[g.IntN(len(medias))]
	schema := g.op.Body.Content[media]
	n := g.IntN(100)
	g.good = n < 70
	value := g.maker().Value(schema)
	switch {
	case n < 55:
		w.body = contract.Encode(media, value)
	case n < 77:
		if variants := contract.Variants(schema, value); len(variants) > 0 {
			value = variants[g.IntN(len(variants))].Value
		}
		w.body = contract.Encode(media, value)
	case n < 86:
		w.body = contract.Encode(media, g.replaceOne(value))
	default:
		w.body = g.mutate(contract.Encode(media, value))
	}
	w.chunked = g.chance(10)
	if g.chance(8) {
		media = pick(g, "", "text/plain", "application/json; charset=latin1", "application/json;charset=UTF-8", "APPLICATION/JSON",
			"application/x-www-form-urlencoded",
			"application/json, text/plain", "application/json;", ";", "application/merge-patch+json", "multipart/form-data; boundary=x",
			"application/jsonx", "\xff")
	}
	if media != "" {
		w.add("Content-Type", media)
	}
	if g.chance(2) {
		w.add(pick(g, "Content-Type", "Content-Encoding", "Content-Language"), pick(g, "application/json", "gzip", "identity", "de"))
	}
}

// replaceOne gives one member an odd value.
func (g *generator) replaceOne(value any) any {
	object, isObject := value.(map[string]any)
	if !isObject || len(object) == 0 {
		return pick[any](g, nil, "text", 1, true, []any{}, []any{map[string]any{}})
	}
	names := slices.Sorted(maps.Keys(object))
	object = maps.Clone(object)
	object[names[g.IntN(len(names))]] = pick(g, oddTexts...)
	return object
}

// one returns a valid value or, unless all values must be valid, an invalid one.
func (g *generator) one(good []any, bad ...any) any {
	if g.good || len(bad) == 0 || g.chance(60) {
		return pick(g, good...)
	}
	return pick(g, bad...)
}

// hint returns a value for a member that has a meaning for the service, such as a password. It returns false if any value of the member's
// schema is suitable.
func (g *generator) hint(name string) (any, bool) {
	if !g.good && g.chance(10) {
		return nil, false
	}
	fresh := fmt.Sprintf("new-%d@example.com", g.number)
	password := fmt.Sprintf("nine violet anchors drift %d", g.number)
	switch name {
	case "email":
		if g.op.ID == "register" || g.op.ID == "inviteUser" {
			return g.one([]any{fresh}, g.target.email), true
		}
		return g.one([]any{g.target.email, g.target.email, g.target.email, fresh}, g.caller.email, "nobody@example.com"), true
	case "password":
		if g.op.ID == "login" {
			return g.one([]any{g.target.password}, password), true
		}
		return g.one([]any{password}, "password"), true
	case "new_password":
		return g.one([]any{password, strings.Repeat("ä", 60) + password}, "password", g.caller.password, "aaaaaaaaaaaaaaaaaaaa",
			strings.Repeat("a", 129)), true
	case "current_password":
		return g.one([]any{g.caller.password}, password), true
	case "refresh_token":
		return g.one([]any{g.target.refresh, g.caller.refresh}, g.target.access,
			g.target.refresh[:max(0, len(g.target.refresh)-2)]+"AA"), true
	case "token":
		if g.op.ID == "introspectToken" || g.op.ID == "revokeToken" {
			return g.sessionToken(), true
		}
		return g.oneTimeToken(), true
	case "roles":
		good := []any{[]any{"user"}, []any{"admin"}, []any{"user", "reader"}, []any{}, []any{"user", "user"}}
		return g.one(good, []any{"fuzz-a", "user"}, []any{"nobody"}), true
	case "permissions":
		return g.one([]any{[]any{"orders:refund"}, []any{"users:read", "users:write"}, []any{}, []any{"a", "a"}}), true
	default:
		return g.profile(name)
	}
}

// sessionToken returns an access token or a refresh token, mostly a valid one.
func (g *generator) sessionToken() any {
	good := []any{g.target.access, g.target.refresh, g.caller.access, g.caller.refresh}
	return g.one(good, g.p.tokens.again(g.IntN(1000)), g.target.access[:max(0, len(g.target.access)-2)]+"AA", "x", "")
}

// oneTimeToken returns a token of an event, mostly a fresh one of the right kind.
func (g *generator) oneTimeToken() string {
	const reset, verification, invitation = "user.password_reset_requested", "user.email_verification_requested",
		"user.invitation_requested"
	own := reset
	switch g.op.ID {
	case "confirmEmailVerification":
		own = verification
	case "confirmInvitation":
		own = invitation
	}
	other := pick(g, reset, verification, invitation)
	again := g.IntN(1000)
	switch n := g.IntN(10); {
	case n < 7:
		return g.p.tokens.pop(own)
	case n < 8:
		return g.p.tokens.pop(other)
	default:
		return g.p.tokens.again(again)
	}
}

func (g *generator) profile(name string) (any, bool) {
	big := func(n int) any { return map[string]any{"big": strings.Repeat("x", n)} }
	switch name {
	case "name", "description":
		return g.one([]any{"Ada Lovelace", "Łukasz Żółć", "李小龙", "a", "", nil, strings.Repeat("ä", 256)}, " ", "a\x00b", "\u202eabc",
			strings.Repeat("ä", 257)), true
	case "picture":
		return g.one([]any{"https://example.com/a.png", "https://example.com/?a=b#c", nil, ""}, "http://example.com/", "https://a b/"), true
	case "locale":
		return g.one([]any{"de-DE", "en", "zh-Hans-CN", "x-private", nil}, "de_DE", "-"), true
	case "zoneinfo":
		return g.one([]any{"Europe/Berlin", "UTC", "America/Argentina/Buenos_Aires", nil}, "Mars/Phobos", "../etc"), true
	case "metadata":
		nested := map[string]any{"a": []any{1, 2.5, nil, true, map[string]any{"b": "c"}}}
		return g.one([]any{map[string]any{"plan": "pro"}, map[string]any{}, nested, nil, big(8100), map[string]any{"": "", "ä": "\u2028"}},
			big(8300)), true
	}
	return nil, false
}

// mutations change the bytes of a body.
var mutations = []func(g *generator, body []byte) []byte{
	func(g *generator, body []byte) []byte { return body[:g.IntN(len(body)+1)] },
	func(g *generator, body []byte) []byte { return insert(body, g.IntN(len(body)+1), "\x00") },
	func(g *generator, body []byte) []byte { return insert(body, g.IntN(len(body)+1), "\xff") },
	func(g *generator, body []byte) []byte {
		return insert(body, g.IntN(len(body)+1), pick(g, `\ud800`, `\u0000`, `\x`, `"`, ",", "{", "]", "//", "é"))
	},
	func(_ *generator, body []byte) []byte { return append(body, body...) },
	func(_ *generator, body []byte) []byte { return append(body, " x"...) },
	func(_ *generator, body []byte) []byte { return append([]byte("\ufeff"), body...) },
	func(_ *generator, body []byte) []byte { return bytes.Replace(body, []byte(`{`), body[:len(body)-1], 1) },
	func(g *generator, body []byte) []byte { return withMember(body, pick(g, members...)) },
	func(g *generator, body []byte) []byte { return withMember(body, duplicateOf(body)) },
	func(g *generator, _ []byte) []byte {
		return []byte(pick(g, "", " ", "null", "[]", `"text"`, "1", "true", "[{}]", "{}", "{}{}", "-", "1e999999"))
	},
	func(_ *generator, body []byte) []byte { return append(body, strings.Repeat(" ", 65536)...) },
	func(g *generator, body []byte) []byte {
		return append(body, strings.Repeat(" ", max(0, 65535+g.IntN(3)-len(body)))...)
	},
	func(g *generator, body []byte) []byte { return bytes.ReplaceAll(body, []byte(`"`), []byte(`'`)) },
	func(g *generator, body []byte) []byte {
		return append(body, pick(g, "&token=a", "&token=", "&%zz", "&a;b", "&%ff=1", "&&", "&token_type_hint=refresh_token")...)
	},
	func(g *generator, body []byte) []byte {
		if len(body) > 0 {
			body[g.IntN(len(body))] ^= 1 << g.IntN(8)
		}
		return body
	},
}

// members are JSON members that some decoders handle incorrectly.
var members = []string{
	`"metadata":{"n":1e400}`, `"metadata":{"n":1E308}`, `"metadata":{"n":123456789012345678901234567890}`, `"metadata":{"n":-0}`,
	`"metadata":{"n":01}`, `"metadata":{"a":"\u0000"}`,
	`"metadata":{"a":1,"a":2}`, `"metadata":{"a":1,"\u0061":2}`, `"metadata":{"a":"\ud800"}`, `"metadata":[]`,
	`"metadata":{"__proto__":{"x":1}}`, `"":1`, `"\u0000":1`,
	`"metadata":` + strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70), `"metadata":` + strings.Repeat(`[`, 20_000),
	`"metadata":{"a":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + "}",
	`"Email":"a@b.example"`, `"constructor":null`, `"email":null`, `"version":1`, `"id":"x"`, `"status":"active"`, `"roles":["admin"]`,
}

func withMember(body []byte, member string) []byte {
	if len(body) < 2 || body[0] != '{' || body[1] == '}' {
		return []byte("{" + member + "}")
	}
	return append([]byte("{"+member+","), body[1:]...)
}

// duplicateOf returns another member with the name of the first member of an object.
func duplicateOf(body []byte) string {
	name, _, found := strings.Cut(strings.TrimPrefix(string(body), "{"), ":")
	if !found {
		return `"a":1,"a":1`
	}
	return name + ":null"
}

func insert(body []byte, at int, text string) []byte {
	return slices.Concat(body[:at], []byte(text), body[at:])
}

func (g *generator) mutate(body []byte) []byte {
	return mutations[g.IntN(len(mutations))](g, slices.Clone(body))
}
