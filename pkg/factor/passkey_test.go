package factor

import (
	"testing"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
)

// rsaKey returns an RSA key in COSE form (RFC 8230) whose modulus has some bytes.
func rsaKey(t *testing.T, size int, exponent ...byte) []byte {
	t.Helper()
	modulus := make([]byte, size)
	modulus[0], modulus[size-1] = 0x80, 1
	key, err := webauthncbor.Marshal(map[int]any{1: 3, 3: int(webauthncose.AlgRS256), -1: modulus, -2: exponent})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestHugeKeysAreRefused covers the RSA keys whose signatures take seconds to verify: one with 44,000 bytes takes 12 s.
func TestHugeKeysAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key  []byte
		want bool
	}{
		"2048 bits":        {rsaKey(t, 256, 1, 0, 1), true},
		"4096 bits":        {rsaKey(t, 512, 1, 0, 1), true},
		"2040 bits":        {rsaKey(t, 255, 1, 0, 1), false},
		"4104 bits":        {rsaKey(t, 513, 1, 0, 1), false},
		"352,000 bits":     {rsaKey(t, 44_000, 1, 0, 1), false},
		"a large exponent": {rsaKey(t, 256, 0x7f, 0xff, 0xff, 0xff), false},
		"no key":           {nil, false},
	} {
		if got := isUsable(c.key); got != c.want {
			t.Errorf("%s: usable is %t, want %t", name, got, c.want)
		}
	}
}
