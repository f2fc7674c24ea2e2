package password

import (
	_ "embed"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// foreignJSON is the output of testdata/foreign.py, which uses bcrypt, passlib, argon2-cffi and Django of Debian 12.
//
//go:embed testdata/foreign.json
var foreignJSON []byte

type foreignHash struct{ By, Format, Password, Hash string }

func foreignHashes(t testing.TB) []foreignHash {
	t.Helper()
	var all []foreignHash
	if err := json.Unmarshal(foreignJSON, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 100 {
		t.Fatalf("foreign.json has %d hashes", len(all))
	}
	return all
}

func TestHashesOfOtherProgramsLogIn(t *testing.T) {
	t.Parallel()
	params := Params{MemoryKiB: 102400, Iterations: 1, Parallelism: 1} // the memory of argon2-cffi's default until 21.1
	h := newHasher(t, Config{Params: params, Limits: wideLimits})
	for _, v := range foreignHashes(t) {
		if err := h.Check(v.Hash); err != nil {
			t.Errorf("%s by %s: %v", v.Hash, v.By, err)
			continue
		}
		passwords := map[string]bool{v.Password: true}
		if !strings.HasSuffix(v.Format, ", defaults") { // these hashes take seconds under the race detector
			passwords["x"+v.Password], passwords[strings.ToUpper(v.Password)], passwords[""] = false, false, false
		}
		for given, ok := range passwords {
			got, err := h.Verify(t.Context(), Flow{}, given, imported(v.Hash))
			if want := (Result{OK: ok, Rehash: true}); err != nil || got != want {
				t.Errorf("%s by %s: Verify(%q) = %+v, %v; want %+v", v.Hash, v.By, given, got, err, want)
			}
		}
	}
}

// TestBcryptSeesSeventyTwoBytes checks bcrypt hashes of passwords with at least 72 bytes. Only the first 72 bytes may matter, because the
// other programs ignored the rest.
func TestBcryptSeesSeventyTwoBytes(t *testing.T) {
	t.Parallel()
	tested := 0
	for _, v := range foreignHashes(t) {
		if !isBcrypt(v.Hash) || len(v.Password) < bcryptMaxBytes {
			continue
		}
		h, err := parse(v.Hash)
		if err != nil {
			t.Fatal(err)
		}
		tested++
		for given, want := range map[string]bool{
			v.Password[:72]: true, v.Password[:72] + "anything": true, v.Password[:71]: false, v.Password[:71] + "~": false,
		} {
			if got := h.matches(given, true); got != want {
				t.Errorf("%s matches %q: %v, want %v", v.Hash, given, got, want)
			}
		}
	}
	if tested < 10 {
		t.Errorf("only %d hashes of long passwords were tested", tested)
	}
}

// invalidForeign are invalid hashes in the formats of other programs, each with a part of the expected error. Each key names what is
// wrong.
var invalidForeign = map[string]struct{ hash, message string }{
	"bcrypt, too short":          {bcryptText[:59], "60 characters"},
	"bcrypt, too long":           {bcryptText + "u", "60 characters"},
	"bcrypt, cost of 3":          {"$2b$03" + bcryptText[6:], "cost"},
	"bcrypt, cost of 15":         {"$2b$15" + bcryptText[6:], "cost"},
	"bcrypt, cost of 31":         {"$2b$31" + bcryptText[6:], "cost"},
	"bcrypt, signed cost":        {"$2b$+4" + bcryptText[6:], "60 characters"},
	"bcrypt, no cost":            {"$2b$xx" + bcryptText[6:], "60 characters"},
	"bcrypt, other base64":       {bcryptText[:30] + "+" + bcryptText[31:], "60 characters"},
	"bcrypt, newline":            {bcryptText[:59] + "\n", "60 characters"},
	"bcrypt, bits after the end": {bcryptText[:59] + "v", "60 characters"},
	"bcrypt, no dollar":          {bcryptText[:6] + "." + bcryptText[7:], "60 characters"},
	"bcrypt, 2x":                 {"$2x$" + bcryptText[4:], "unknown format"},
	"bcrypt, 2":                  {"$2$" + bcryptText[4:], "unknown format"},
	"bcrypt of SHA-256":          {"$bcrypt-sha256$v=2,t=2b,r=4$" + bcryptText[7:29] + "$" + bcryptText[29:], "unknown format"},
	"Django's bcrypt":            {"bcrypt$" + bcryptText, "unknown format"},
	"argon2d":                    {"$argon2d$v=19$m=64,t=1,p=1$" + salt16 + "$" + key32, "unknown format"},
	"argon2i, version 16":        {"$argon2i$v=16$m=64,t=1,p=1$" + salt16 + "$" + key32, "version 19"},
	"argon2i, no version":        {"$argon2i$m=64,t=1,p=1$" + salt16 + "$" + key32, "version 19"},
	"argon2i, more than 512 MiB": {"$argon2i$v=19$m=524289,t=1,p=1$" + salt16 + "$" + key32, "memory"},
	"argon2i, 65 iterations":     {"$argon2i$v=19$m=64,t=65,p=1$" + salt16 + "$" + key32, "iterations"},
	"argon2i, 512 MiB 3 times":   {"$argon2i$v=19$m=524288,t=3,p=1$" + salt16 + "$" + key32, "memory times"},
	"Django, no iterations":      {"pbkdf2_sha256$0$salt$" + key32 + "=", "between 1 and"},
	"Django, too many":           {"pbkdf2_sha256$2000001$salt$" + key32 + "=", "between 1 and"},
	"Django, overflow":           {"pbkdf2_sha256$99999999999999999999$salt$" + key32 + "=", "between 1 and"},
	"Django, negative":           {"pbkdf2_sha256$-1$salt$" + key32 + "=", "between 1 and"},
	"Django, leading zero":       {"pbkdf2_sha256$01$salt$" + key32 + "=", "of the form"},
	"Django, no padding":         {"pbkdf2_sha256$1$salt$" + key32, "of the form"},
	"Django, no salt":            {"pbkdf2_sha256$1$$" + key32 + "=", "of the form"},
	"Django, salt of 129 bytes":  {"pbkdf2_sha256$1$" + strings.Repeat("s", 129) + "$" + key32 + "=", "of the form"},
	"Django, short key":          {"pbkdf2_sha256$1$salt$" + text(16) + "==", "of the form"},
	"Django, newline":            {"pbkdf2_sha256$1$salt$" + key32 + "=\n", "of the form"},
	"Django, SHA-1":              {"pbkdf2_sha1$1$salt$" + key32 + "=", "unknown format"},
	"Django, unusable":           {"!aNt4vGk5kyPzVdQ2xXkLm8e0RsT7uYwZ1bCdEfGh", "unknown format"},
	"passlib, too many":          {"$pbkdf2-sha256$2000001$" + salt16 + "$" + key32, "between 1 and"},
	"passlib, plus":              {"$pbkdf2-sha256$1$" + salt16 + "$+" + key32[1:], "of the form"},
	"passlib, padding":           {"$pbkdf2-sha256$1$" + salt16 + "$" + key32 + "=", "of the form"},
	"passlib, huge salt":         {"$pbkdf2-sha256$1$" + text(1<<20) + "$" + key32, "of the form"},
	"passlib, short key":         {"$pbkdf2-sha256$1$" + salt16 + "$" + text(31), "of the form"},
	"passlib, SHA-512":           {"$pbkdf2-sha512$1$" + salt16 + "$" + text(64), "unknown format"},
	"SHA-512 of crypt(3)": {
		"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/O817G3uBnIFNjnQJuesI68OTLiBFdcbYEdFCoEOfaS35inz1", "unknown format",
	},
}

const bcryptText = "$2b$04$w7c192cmA5L5qaA9XvbnFeBUMfGJw5Is5X0yWLQ0u5haxEk1fHM52" // generated by a script in testdata

func TestCheckReportsWhatIsWrong(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Config{Params: lowCost, Limits: wideLimits})
	if err := h.Check(bcryptText); err != nil {
		t.Fatalf("the valid hash is refused: %v", err)
	}
	for name, v := range invalidForeign {
		err := h.Check(v.hash)
		if err == nil || !strings.Contains(err.Error(), v.message) {
			t.Errorf("%s: %v; want an error with %q", name, err, v.message)
		} else if strings.Contains(err.Error(), v.hash[len(v.hash)-12:]) {
			t.Errorf("%s: the error contains the hash: %v", name, err)
		}
	}
}

// FuzzParse checks that each accepted text is within the bounds of its format.
func FuzzParse(f *testing.F) {
	for _, v := range foreignHashes(f) {
		f.Add(v.Hash)
	}
	for _, v := range argon2Vectors {
		f.Add(v.phc)
	}
	for _, v := range invalidForeign {
		f.Add(v.hash)
	}
	for _, text := range invalidHashes {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parse(text)
		if err != nil {
			return
		}
		switch h := h.(type) {
		case argon2id:
			if again, err := parse(h.String()); err != nil || !reflect.DeepEqual(again, stored(h)) || h.check(maxWorkKiB) != nil {
				t.Errorf("%q is parsed as %q", text, h)
			}
		case argon2i:
			if again, err := parse(h.String()); err != nil || !reflect.DeepEqual(again, stored(h)) || h.as.check(maxWorkKiB) != nil {
				t.Errorf("%q is parsed as %q", text, h)
			}
		case bcryptHash:
			if cost := text[4:6]; h.text != text || len(text) != 60 || cost < "04" || cost > "14" {
				t.Errorf("%q is accepted", text)
			}
		case pbkdf2SHA256:
			if h.iterations < 1 || h.iterations > maxPBKDF2Iterations || len(h.salt) > maxPBKDF2SaltBytes || len(h.key) != 32 {
				t.Errorf("%q is parsed as %+v", text, h)
			}
		default:
			t.Errorf("%q is parsed as a %T", text, h)
		}
	})
}

// TestArgon2OfUpTo100MiBLogsInByDefault verifies a hash with the default parameters of argon2-cffi before 21.2, with the parameters in
// several orders.
func TestArgon2OfUpTo100MiBLogsInByDefault(t *testing.T) {
	t.Parallel()
	const password, suffix = "seven green kettles sing", "$hNhGaQ2LZASencauEnJmfQ$9WIKsegZxrutgD2uCsSMnQ"
	for i, params := range []string{"m=102400,t=2,p=8", "t=2,p=8,m=102400", "p=8,m=102400,t=2"} {
		concurrency := 1 + i
		h := newHasher(t, Config{Params: owasp, Limits: Limits{Concurrency: concurrency, Queue: 32 * concurrency, MaxWait: time.Minute}})
		got, err := h.Verify(t.Context(), Flow{}, password, imported("$argon2id$v=19$"+params+suffix))
		if want := (Result{OK: true, Rehash: true}); err != nil || got != want {
			t.Errorf("%s with a concurrency of %d: %+v, %v; want %+v", params, concurrency, got, err, want)
		}
	}
}
