package user_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"user-service/pkg/user"
)

// wrong returns the pointers of the invalid fields of an account.
func wrong(email string, p user.Profile) (pointers []string) {
	for _, e := range (user.Replacement{Email: email, Profile: p}).Check() {
		pointers = append(pointers, e.Pointer)
	}
	return pointers
}

// checkEach checks that the texts in good are valid, and that each text in bad has one error at the pointer.
func checkEach(t *testing.T, pointer string, check func(string) []string, good, bad []string) {
	t.Helper()
	for _, text := range good {
		if got := check(text); got != nil {
			t.Errorf("%q has errors at %v, want none", text, got)
		}
	}
	for _, text := range bad {
		if diff := cmp.Diff([]string{pointer}, check(text)); diff != "" {
			t.Errorf("the errors of %q (-want +got):\n%s", text, diff)
		}
	}
}

func TestEmails(t *testing.T) {
	t.Parallel()
	label := strings.Repeat("d", 61) + ".e"
	long := strings.Repeat("l", 64) + "@" + label + "." + label + "." + label // 254 bytes
	good := []string{
		"ada@example.com", "Ada.Lovelace+tag@sub.example.co.uk", "o'brien@example.com", "!#$%&'*+-/=?^_`{|}~@example.com",
		"1@2.example", "a@b.c", "a-@b.c", "a=?b@c.example",
		"ada@intranet", "ada@localhost", "ada@127.0.0.1.example", "ada@1e4", "ada@x0", "ada@0x.example",
		"ünï@bücher.example", "用户@例子.公司", "u\u0308@example.com", "अनु@उदाहरण.भारत",
		"a@xn--bcher-kva.example", "ada@a-b--c.example",
		strings.Repeat("l", 64) + "@example.com", "ada@" + strings.Repeat("d", 63) + ".example", long[:254],
	}
	bad := []string{
		"", "ada", "@", "@example.com", "ada@", "ada@@example.com", "ada@b@example.com", "ada.example.com",
		"Ada <ada@example.com>", "<ada@example.com>", `"a b"@example.com`, `"ada"@example.com`, "ada(x)@example.com", "ada@example.com (x)",
		"ada@[127.0.0.1]", "ada@[IPv6:::1]", "ada@127.0.0.1", "ada@2130706433", "ada@1.2", "ada@0x7f000001", "ada@0X7F.1", "ada@x.0x",
		"ada@１２７.０.０.１", "ada@127。0。0。1", "ada@example.②", // UTS #46 maps these digits to ASCII
		"ada@example..com", "ada@.example.com", "ada@example.com.", ".ada@example.com",
		"ada.@example.com", "a..b@example.com",
		"ada@-example.com", "ada@example-.com", "ada@exam_ple.com", "ada@exam!ple.com", "ada@example.com:25", "mailto:ada@example.com",
		" ada@example.com", "ada@example.com ", "a da@example.com", "ada@exam ple.com", "ada@example.com\n",
		"ada@example.com\r\nBcc: b@example.com", "a\tda@example.com",
		"ada@example.com,bob@example.com", "ada@example.com;bob@example.com", `a\da@example.com`,
		"a\x00da@example.com", "a\x7fda@example.com",
		// a program that gets addresses as arguments would read these as options
		"-ada@example.com", "-@example.com", "-oQ/tmp@example.com",
		"=?utf-8?q?ada=40evil.example?=@example.com", "=?x?q?a=40b=3e?=x@example.com", "x=?iso-8859-1?B?YQ==?=@example.com",
		"=?utf-8?q?ada@example.com",
		"a\u00a0da@example.com", "a\u200bda@example.com", "\u202eada@example.com", "ada@exam\u2028ple.com", "\ufeffada@example.com",
		"\xff@example.com",
		strings.Repeat("l", 65) + "@example.com", "ada@" + strings.Repeat("d", 64) + ".example", long + "f", strings.Repeat("a", 100_000),
	}
	checkEach(t, "/email", func(s string) []string { return wrong(s, user.Profile{}) }, good, bad)
}

func TestPictures(t *testing.T) {
	t.Parallel()
	base := "https://x.example/"
	good := []string{
		"", base, "https://x.example", "https://x.example:8443/a.png?b=c&d=%20#e", "https://xn--bcher-kva.example/%C3%A4.png",
		"https://x.example:/", "https://x.example?q", "https://x.example#f", "https://[::1]:65535/",
		"https://x.example/a@b:c;d=e,f(g)*h!i'j", "https://[2001:db8::1]/a", "HTTPS://x.example/",
		base + strings.Repeat("p", 2048-len(base)),
	}
	bad := []string{
		"http://x.example/a.png", "x.example/a.png", "/a.png", "//x.example/a.png", "https:", "https://", "https:///a.png",
		"https:x.example/a.png", "https://:443/",
		"https://ada:secret@x.example/", "https://ada@x.example/", "javascript:alert(1)", "data:image/png;base64,AAAA", "ftp://x.example/",
		"https://x.example/a b", " https://x.example/", "https://x.example/\n", "https://x.example/%zz", "https://x.example:port/",
		"https://x.exam ple/",
		"https://x.example/\u202e", "https://a<b", `https://x.example/"><script>alert(1)</script>`, "https://x.example/a|b",
		"https://x.example/{x}", `https://x.example/a\b`, "https://x.example/^`",
		"https://x.example/é", "https://你好", "https://x.example/a[b]", "https://x.example/#a#b", "https://x.example:65536/",
		"https://[1.2.3.4]/", "https://[::1/", "https://[fe80::1%25eth0]/", "https://x.example/%", "https://x.example/%4",
		base + strings.Repeat("p", 2049-len(base)),
	}
	checkEach(t, "/picture", func(s string) []string { return wrong("a@b.c", user.Profile{Picture: s}) }, good, bad)
}

func TestLocales(t *testing.T) {
	t.Parallel()
	good := []string{
		"", "en", "en-US", "EN-us", "de-CH-1996", "zh-Hant-TW", "sr-Latn-RS", "es-419", "sl-rozaj-biske", "en-US-u-hc-h23", "und", "yue",
		"english", "xx", "zh-min-nan", "zh-cmn-Hans-CN", "i-klingon", "en-GB-oed", "x-whatever", "de-x-a", "qaa-Qaaa-QM-x-southern",
		"ca-valencia", "de-419",
		"en-a-bbb-x-a-ccc", "en-US-u-" + strings.Repeat("abc-", 20) + "abc", "sl-Latn-IT-nedis", "aaaaaaaa",
	}
	bad := []string{
		"e", "en_US", "en_US.UTF-8", "C", "aaaaaaaaa", "de-419-DE", "a-DE", "ar-a-aaa-b-bbb-a-ccc", "x", "en-x", "en-u", "i-nothing",
		"é", "en US", "en-", "-en", "en--US", "en-US ", "en\n", "qq-QQQQQQQQQ", "123",
		"en-US-u-" + strings.Repeat("abc-", 40) + "abc", "日本",
	}
	checkEach(t, "/locale", func(s string) []string { return wrong("a@b.c", user.Profile{Locale: s}) }, good, bad)
}

func TestZones(t *testing.T) {
	t.Parallel()
	good := []string{"", "UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "Asia/Kolkata", "Asia/Calcutta"}
	bad := []string{
		"Local", "Asia//Tokyo", "Asia/./Tokyo", "Etc/./UTC", "America/Argentina//Ushuaia", "Etc/" + strings.Repeat("./", 2030) + "UTC",
		"/UTC", "UTC/", "Berlin", "Europe", "Europe/", "Europe/Nowhere", "europe/berlin", "+01:00", "UTC+1",
		"/usr/share/zoneinfo/UTC", "../zoneinfo/UTC", "Europe/../UTC",
		`Europe\Berlin`, " UTC", "UTC\n", "a\x00b", "localtime", "posixrules", "zone.tab", "tzdata.zi", "posix/Europe/Berlin", "right/UTC",
	}
	checkEach(t, "/zoneinfo", func(s string) []string { return wrong("a@b.c", user.Profile{Zoneinfo: s}) }, good, bad)
}

func TestNames(t *testing.T) {
	t.Parallel()
	good := []string{
		"", "Ada", "Zoë O'Neill-Łukasiewicz, PhD", "用户", "👩‍💻",
		"עדה\u200f!", "Ada\u200e", "\u061cآدا", "می\u200cخواهم", strings.Repeat("🔑", 256),
	}
	bad := []string{"a\nb", "a\tb", "\x7f", "\u0085", strings.Repeat("n", 257)}
	for _, turn := range "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069" {
		bad = append(bad, "Ada "+string(turn)+"nimda")
	}
	checkEach(t, "/name", func(s string) []string { return wrong("a@b.c", user.Profile{Name: s}) }, good, bad)
}

func TestMetadataIsMeasuredInBytes(t *testing.T) {
	t.Parallel()
	of := func(size int) string { return `{"é":"` + strings.Repeat("x", size-len(`{"é":""}`)) + `"}` }
	checkEach(t, "/metadata", func(s string) []string { return wrong("a@b.c", user.Profile{Metadata: json.RawMessage(s)}) },
		[]string{"{}", of(8192), `{"n":[1e308,-1e308,1e-400,123456789012345678901234567890,0.1000000000000000055511151231257827]}`},
		[]string{of(8193), of(100_000), `{"n":1e309}`, `{"a":[{"b":-2e400}]}`})
}

func TestAllInvalidFieldsAreReported(t *testing.T) {
	t.Parallel()
	got := wrong("", user.Profile{Name: strings.Repeat("\n", 300), Picture: "x", Locale: "?", Zoneinfo: "?", Metadata: make([]byte, 9000)})
	if diff := cmp.Diff([]string{"/email", "/name", "/picture", "/locale", "/zoneinfo", "/metadata"}, got); diff != "" {
		t.Errorf("the invalid fields (-want +got):\n%s", diff)
	}
}
