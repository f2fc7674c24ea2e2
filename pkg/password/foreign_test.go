package password

import (
	_ "embed"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// foreignJSON was written by testdata/foreign.py with bcrypt, passlib, argon2-cffi and Django
// as Debian 12 has them.
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
	h := newHasher(t, Params{MemoryKiB: 102400, Iterations: 1, Parallelism: 1}, ample, nil) // argon2-cffi's default until 21.1
	for _, v := range foreignHashes(t) {
		if err := h.Check(v.Hash); err != nil {
			t.Errorf("%s by %s: %v", v.Hash, v.By, err)
			continue
		}
		tries := map[string]bool{v.Password: true}
		if !strings.HasSuffix(v.Format, ", defaults") { // those take seconds under the race detector
			tries["x"+v.Password], tries[strings.ToUpper(v.Password)], tries[""] = false, false, false
		}
		for given, ok := range tries {
			got, err := h.Verify(t.Context(), Flow{}, given, imported(v.Hash))
			if want := (Result{OK: ok, Rehash: true}); err != nil || got != want {
				t.Errorf("%s by %s: Verify(%q) = %+v, %v; want %+v", v.Hash, v.By, given, got, err, want)
			}
		}
	}
}

// TestBcryptSeesSeventyTwoBytes: a password that another program cut is still the right one.
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
		t.Errorf("%d hashes of long passwords were tried", tested)
	}
}

// brokenForeign are texts in the way of other programs that are refused, by what is wrong
// with them, and what the error says.
var brokenForeign = map[string]struct{ hash, says string }{
	"bcrypt, cut":                {bcryptText[:59], "60 characters"},
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
	"bcrypt, faulty kind":        {"$2x$" + bcryptText[4:], "known"},
	"bcrypt, first kind":         {"$2$" + bcryptText[4:], "known"},
	"bcrypt of SHA-256":          {"$bcrypt-sha256$v=2,t=2b,r=4$" + bcryptText[7:29] + "$" + bcryptText[29:], "known"},
	"Django's bcrypt":            {"bcrypt$" + bcryptText, "known"},
	"argon2d":                    {"$argon2d$v=19$m=64,t=1,p=1$" + salt16 + "$" + key32, "known"},
	"argon2i, version 16":        {"$argon2i$v=16$m=64,t=1,p=1$" + salt16 + "$" + key32, "version 19"},
	"argon2i, no version":        {"$argon2i$m=64,t=1,p=1$" + salt16 + "$" + key32, "version 19"},
	"argon2i, more than 512 MiB": {"$argon2i$v=19$m=524289,t=1,p=1$" + salt16 + "$" + key32, "memory"},
	"argon2i, 65 iterations":     {"$argon2i$v=19$m=64,t=65,p=1$" + salt16 + "$" + key32, "iterations"},
	"argon2i, 512 MiB 3 times":   {"$argon2i$v=19$m=524288,t=3,p=1$" + salt16 + "$" + key32, "memory times"},
	"Django, no iterations":      {"pbkdf2_sha256$0$salt$" + key32 + "=", "from 1 to"},
	"Django, too many":           {"pbkdf2_sha256$2000001$salt$" + key32 + "=", "from 1 to"},
	"Django, overflow":           {"pbkdf2_sha256$99999999999999999999$salt$" + key32 + "=", "from 1 to"},
	"Django, negative":           {"pbkdf2_sha256$-1$salt$" + key32 + "=", "from 1 to"},
	"Django, leading zero":       {"pbkdf2_sha256$01$salt$" + key32 + "=", "of the form"},
	"Django, no padding":         {"pbkdf2_sha256$1$salt$" + key32, "of the form"},
	"Django, no salt":            {"pbkdf2_sha256$1$$" + key32 + "=", "of the form"},
	"Django, salt of 129 bytes":  {"pbkdf2_sha256$1$" + strings.Repeat("s", 129) + "$" + key32 + "=", "of the form"},
	"Django, short key":          {"pbkdf2_sha256$1$salt$" + text(16) + "==", "of the form"},
	"Django, newline":            {"pbkdf2_sha256$1$salt$" + key32 + "=\n", "of the form"},
	"Django, SHA-1":              {"pbkdf2_sha1$1$salt$" + key32 + "=", "known"},
	"Django, unusable":           {"!aNt4vGk5kyPzVdQ2xXkLm8e0RsT7uYwZ1bCdEfGh", "known"},
	"passlib, too many":          {"$pbkdf2-sha256$2000001$" + salt16 + "$" + key32, "from 1 to"},
	"passlib, plus":              {"$pbkdf2-sha256$1$" + salt16 + "$+" + key32[1:], "of the form"},
	"passlib, padding":           {"$pbkdf2-sha256$1$" + salt16 + "$" + key32 + "=", "of the form"},
	"passlib, huge salt":         {"$pbkdf2-sha256$1$" + text(1<<20) + "$" + key32, "of the form"},
	"passlib, short key":         {"$pbkdf2-sha256$1$" + salt16 + "$" + text(31), "of the form"},
	"passlib, SHA-512":           {"$pbkdf2-sha512$1$" + salt16 + "$" + text(64), "known"},
	"SHA-512 of crypt(3)":        {"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/O817G3uBnIFNjnQJuesI68OTLiBFdcbYEdFCoEOfaS35inz1", "known"},
}

const bcryptText = "$2b$04$w7c192cmA5L5qaA9XvbnFeBUMfGJw5Is5X0yWLQ0u5haxEk1fHM52" // of bcrypt, see testdata

func TestCheckSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	h := newHasher(t, cheap, ample, nil)
	if err := h.Check(bcryptText); err != nil {
		t.Fatalf("what the broken ones are made of is refused: %v", err)
	}
	for name, v := range brokenForeign {
		err := h.Check(v.hash)
		if err == nil || !strings.Contains(err.Error(), v.says) {
			t.Errorf("%s: %v; want an error that says %q", name, err, v.says)
		} else if strings.Contains(err.Error(), v.hash[len(v.hash)-12:]) {
			t.Errorf("%s: the error shows the hash: %v", name, err)
		}
	}
}

// FuzzParse holds every text that is taken to the bounds of its format.
func FuzzParse(f *testing.F) {
	for _, v := range foreignHashes(f) {
		f.Add(v.Hash)
	}
	for _, v := range vectors {
		f.Add(v.phc)
	}
	for _, v := range brokenForeign {
		f.Add(v.hash)
	}
	for _, text := range broken {
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
				t.Errorf("%q is read as %q", text, h)
			}
		case argon2i:
			if again, err := parse(h.String()); err != nil || !reflect.DeepEqual(again, stored(h)) || h.as.check(maxWorkKiB) != nil {
				t.Errorf("%q is read as %q", text, h)
			}
		case bcryptHash:
			if cost := text[4:6]; h.text != text || len(text) != 60 || cost < "04" || cost > "14" {
				t.Errorf("%q is taken", text)
			}
		case pbkdf2SHA256:
			if h.iterations < 1 || h.iterations > maxPBKDF2Iterations || len(h.salt) > maxPBKDF2SaltBytes || len(h.key) != 32 {
				t.Errorf("%q is read as %+v", text, h)
			}
		default:
			t.Errorf("%q is read as a %T", text, h)
		}
	})
}

// TestArgon2OfUpTo100MiBLogsInByDefault has a hash by the defaults of argon2-cffi until its release 21.2, with its parameters in
// several orders, whatever the number of CPUs.
func TestArgon2OfUpTo100MiBLogsInByDefault(t *testing.T) {
	t.Parallel()
	const right, tail = "seven green kettles sing", "$hNhGaQ2LZASencauEnJmfQ$9WIKsegZxrutgD2uCsSMnQ"
	for i, params := range []string{"m=102400,t=2,p=8", "t=2,p=8,m=102400", "p=8,m=102400,t=2"} {
		concurrency := 1 + i
		h := newHasher(t, owasp, Limits{Concurrency: concurrency, Queue: 32 * concurrency, MaxWait: time.Minute}, nil)
		got, err := h.Verify(t.Context(), Flow{}, right, imported("$argon2id$v=19$"+params+tail))
		if want := (Result{OK: true, Rehash: true}); err != nil || got != want {
			t.Errorf("%s with %d at once: %+v, %v; want %+v", params, concurrency, got, err, want)
		}
	}
}
