package password

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// argon2Vectors are hashes that the argon2 command and python3-argon2 of Debian 12 computed. Both use the reference implementation in C.
var argon2Vectors = []struct{ by, password, phc string }{
	{"argon2", "correct horse battery staple", "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$" +
		"ISO7kkvFzh19GM8qB7patN3C3Y9HHsjlVTfEZ9T600Y"},
	{"argon2", "password", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$79CPBBtFLAJe3yMqiKHvf7zwXFiecLBi"},
	{"argon2", "password", "$argon2id$v=19$m=64,t=1,p=2$c29tZXNhbHQ$oii5QrwwRha/6pH09qSIww"},
	{"argon2", "differentpassword", "$argon2id$v=19$m=1024,t=3,p=4$YSBsb25nZXIgc2FsdCBvZiB0aGlydHktdHdvIGJ5dGU$" +
		"1a2muACgcHrau/4XCIXiePsTRtAfEmGfK+qk8go47bACL6nJjk7uoQzM8fgOFBe23BXn/1JiwKr0q3vJYCL5kQ"},
	{"argon2", "пароль длинный", "$argon2id$v=19$m=96,t=1,p=3$Y3lyaWxsaWNzYWx0Li4uLg$" +
		"ED4Ujpdt+Z7gJ/YJtAQdX6//U+8g7mJByTDiCpAEXHMEZ6FfVjzUO2QaGBSEnJWB"},
	{"python3-argon2", "", "$argon2id$v=19$m=64,t=1,p=1$ZW1wdHlwYXNzd29yZC4uLg$2SsAdJNdNnnr0bQsVegqc/b8XqWLsRFvHHvHjd7nRk8"},
	{"python3-argon2", "seven green kettles sing", "$argon2id$v=19$m=102400,t=2,p=8$hNhGaQ2LZASencauEnJmfQ$9WIKsegZxrutgD2uCsSMnQ"},
	{"python3-argon2", "seven green kettles sing", "$argon2id$v=19$m=512,t=1,p=2$wv06D/mLwsk$BnhPbjL6BFgb+O56d7cOmABipTk"},
	{"python3-argon2", "pässwörter 🔑", "$argon2id$v=19$m=1000,t=4,p=1$" +
		"wBeetFZGt8XV/ZIyPX0suIhyyTDqbu3pdyoD5YYCs10Ryfiz/Cfv+38X0YH1NVUkihiZ0BwvaC667jP/UF8ogQ$" +
		"Xp2S5R2wpaoaVjn2tXvn46B2QwdhtxotwcSWc5kIjYo"},
}

func TestArgon2idMatchesOthers(t *testing.T) {
	t.Parallel()
	for _, v := range argon2Vectors {
		h, err := parseArgon2id(v.phc)
		if err != nil {
			t.Errorf("%s: %v", v.phc, err)
			continue
		}
		if h.String() != v.phc {
			t.Errorf("%s is formatted as %s", v.phc, h)
		}
		if !h.matches(v.password, true) {
			t.Errorf("%s, computed by %s, does not match %q", v.phc, v.by, v.password)
		}
		if h.matches(v.password+" ", true) {
			t.Errorf("%s matches another password", v.phc)
		}
	}
}

// text returns n zero bytes in unpadded base64.
func text(n int) string { return base64.RawStdEncoding.EncodeToString(make([]byte, n)) }

var (
	salt16 = text(16)
	key32  = text(32)
	// invalidHashes are invalid stored hashes. Each key names what is wrong.
	invalidHashes = map[string]string{
		"empty":               "",
		"plain text":          "hunter2hunter2",
		"prefix only":         "$argon2id$",
		"other kind":          "$argon2d$v=19$m=64,t=1,p=1$b3RoZXJraW5kLi4uLi4uLg$0c394XFrmHI9ISzdbHXNoKhwIZUiPPcanj5fXKoyTzk",
		"old version":         "$argon2id$v=16$m=64,t=1,p=1$b2xkdmVyc2lvbi4uLi4uLg$GsJu5lj+FfPmHjpFhom7aHYlRN7RuwQPJqi+wGXcrvE",
		"no version":          "$argon2id$m=64,t=1,p=1$" + salt16 + "$" + key32,
		"upper case":          "$ARGON2ID$v=19$m=64,t=1,p=1$" + salt16 + "$" + key32,
		"no key":              "$argon2id$v=19$m=64,t=1,p=1$" + salt16,
		"empty key":           "$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$",
		"an extra field":      "$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$" + key32 + "$",
		"text before it":      "x$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$" + key32,
		"newline at the end":  "$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$" + key32 + "\n",
		"newline in the key":  "$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$" + key32[:8] + "\n" + key32[8:],
		"a parameter twice":   "$argon2id$v=19$m=64,t=1,m=64$" + salt16 + "$" + key32,
		"a parameter missing": "$argon2id$v=19$m=64,t=1$" + salt16 + "$" + key32,
		"unknown parameter":   "$argon2id$v=19$m=64,t=1,p=1,keyid=aa$" + salt16 + "$" + key32,
		"leading zero":        "$argon2id$v=19$m=064,t=1,p=1$" + salt16 + "$" + key32,
		"sign":                "$argon2id$v=19$m=+64,t=1,p=1$" + salt16 + "$" + key32,
		"space":               "$argon2id$v=19$m=64,t= 1,p=1$" + salt16 + "$" + key32,
		"hexadecimal":         "$argon2id$v=19$m=0x40,t=1,p=1$" + salt16 + "$" + key32,
		"negative":            "$argon2id$v=19$m=64,t=-1,p=1$" + salt16 + "$" + key32,
		"memory overflows":    "$argon2id$v=19$m=4294967360,t=1,p=1$" + salt16 + "$" + key32,
		"lanes overflow":      "$argon2id$v=19$m=64,t=1,p=257$" + salt16 + "$" + key32,
		"padding":             "$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "==$" + key32 + "=",
		"base64 of URLs":      "$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$" + strings.Repeat("-", 43),
		"bits after the end":  "$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$" + key32[:42] + "B",
		"salt of 7 bytes":     "$argon2id$v=19$m=64,t=1,p=1$" + text(7) + "$" + key32,
		"salt of 65 bytes":    "$argon2id$v=19$m=64,t=1,p=1$" + text(65) + "$" + key32,
		"key of 15 bytes":     "$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$" + text(15),
		"key of 65 bytes":     "$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$" + text(65),
		"huge":                "$argon2id$v=19$m=64,t=1,p=1$" + salt16 + "$" + text(1<<20),
		"no lanes":            "$argon2id$v=19$m=64,t=1,p=0$" + salt16 + "$" + key32,
		"65 lanes":            "$argon2id$v=19$m=1024,t=1,p=65$" + salt16 + "$" + key32,
		"no iterations":       "$argon2id$v=19$m=64,t=0,p=1$" + salt16 + "$" + key32,
		"65 iterations":       "$argon2id$v=19$m=64,t=65,p=1$" + salt16 + "$" + key32,
		"not enough memory":   "$argon2id$v=19$m=15,t=1,p=2$" + salt16 + "$" + key32,
		"more than 512 MiB":   "$argon2id$v=19$m=524289,t=1,p=1$" + salt16 + "$" + key32,
		"512 MiB 3 times":     "$argon2id$v=19$m=524288,t=3,p=1$" + salt16 + "$" + key32,
		"64 MiB 17 times":     "$argon2id$v=19$m=65536,t=17,p=1$" + salt16 + "$" + key32,
		"a hash of MD5":       "$1$12345678$o2n/JiO/h5VviOInWJ4OQ/",
		"unusable, as Django": "!aNt4vGk5kyPzVdQ2",
	}
)

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, phc := range invalidHashes {
		h, err := parse(phc)
		if err == nil {
			t.Errorf("%s: %q is parsed as %v", name, phc, h)
			continue
		}
		if len(phc) > 20 && strings.Contains(err.Error(), phc[len(phc)-15:]) {
			t.Errorf("%s: the error contains the hash: %v", name, err)
		}
	}
}

func TestParseAcceptsTheBounds(t *testing.T) {
	t.Parallel()
	for _, phc := range []string{
		"$argon2id$v=19$m=8,t=1,p=1$" + text(8) + "$" + text(16),
		"$argon2id$v=19$m=524288,t=2,p=64$" + text(64) + "$" + text(64),
		"$argon2id$v=19$m=16384,t=64,p=1$" + salt16 + "$" + key32,
	} {
		if _, err := parse(phc); err != nil {
			t.Errorf("%s: %v", phc, err)
		}
	}
}

// TestParametersComeInAnyOrder parses a hash of the argon2 command with the parameters in each possible order.
func TestParametersComeInAnyOrder(t *testing.T) {
	t.Parallel()
	for _, params := range []string{"m=64,t=1,p=2", "m=64,p=2,t=1", "t=1,m=64,p=2", "t=1,p=2,m=64", "p=2,m=64,t=1", "p=2,t=1,m=64"} {
		h, err := parse("$argon2id$v=19$" + params + "$c29tZXNhbHQ$oii5QrwwRha/6pH09qSIww")
		if err != nil || !h.matches("password", true) || h.matches("other", true) {
			t.Errorf("%s: %v, or the password does not match", params, err)
		}
		if _, err := parse("$argon2i$v=19$" + params + "$c29tZXNhbHQ$oii5QrwwRha/6pH09qSIww"); err != nil {
			t.Errorf("argon2i with %s: %v", params, err)
		}
	}
}

// TestParseReadsWhatStringWrites formats random hashes within the limits, and parses the results. They must be equal to the hashes.
func TestParseReadsWhatStringWrites(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		want := anyArgon2id(random)
		got, err := parse(want.String())
		if err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(argon2id{})); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", want, diff)
		}
	}
}

func anyArgon2id(random *rand.Rand) argon2id {
	data := func(minBytes, maxBytes int) []byte {
		out := make([]byte, minBytes+random.IntN(maxBytes-minBytes+1))
		for i := range out {
			out[i] = byte(random.Uint32())
		}
		return out
	}
	lanes := 1 + random.Uint32N(maxParallelism)
	memory := 8*lanes + random.Uint32N(maxMemoryKiB-8*lanes+1)
	return argon2id{
		Params: Params{
			MemoryKiB: memory, Parallelism: uint8(lanes),
			Iterations: 1 + random.Uint32N(min(maxIterations, maxWorkKiB/memory)),
		},
		salt: data(minSaltBytes, maxSaltBytes), key: data(minKeyBytes, maxKeyBytes),
	}
}
