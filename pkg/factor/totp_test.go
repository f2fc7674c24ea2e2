package factor_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pquerna/otp"

	"user-service/pkg/factor"
)

// vectorSecret is the secret of the test vectors of both RFCs.
var vectorSecret = []byte("12345678901234567890")

// TestTOTPVectors compares codes with RFC 6238 appendix B (SHA-1). Its codes have 8 digits; the last 6 are the code with 6 digits.
func TestTOTPVectors(t *testing.T) {
	t.Parallel()
	for seconds, code := range map[int64]string{
		59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037",
		20000000000: "65353130",
	} {
		at := time.Unix(seconds, 0)
		if got, err := factor.TOTPCode(vectorSecret, at); err != nil || got != code[2:] {
			t.Errorf("at %d the code is %s (%v), want %s", seconds, got, err, code[2:])
		}
		if step, ok := factor.MatchTOTP(vectorSecret, code[2:], at, 0); !ok || step != seconds/30 {
			t.Errorf("at %d the step is %d (%t), want %d", seconds, step, ok, seconds/30)
		}
	}
}

// TestHOTPVectors compares codes with RFC 4226 appendix D: the counter is the time step.
func TestHOTPVectors(t *testing.T) {
	t.Parallel()
	for counter, want := range []string{
		"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489",
	} {
		if got, err := factor.TOTPCode(vectorSecret, time.Unix(int64(counter)*30, 0)); err != nil || got != want {
			t.Errorf("the code of counter %d is %s (%v), want %s", counter, got, err, want)
		}
	}
}

// TestACodeIsAcceptedInThreeSteps matches codes of steps around the current one, and of steps that were used.
func TestACodeIsAcceptedInThreeSteps(t *testing.T) {
	t.Parallel()
	now := time.Unix(1234567890, 0)
	current := now.Unix() / 30
	for _, c := range []struct {
		step, last int64
		want       bool
	}{
		{current - 2, 0, false},
		{current - 1, 0, true},
		{current, 0, true},
		{current + 1, 0, true},
		{current + 2, 0, false},
		{current, current - 1, true},
		{current, current, false},
		{current - 1, current, false},
		{current + 1, current, true},
		{current + 1, current + 1, false},
	} {
		code, err := factor.TOTPCode(vectorSecret, time.Unix(c.step*30, 0))
		if err != nil {
			t.Fatal(err)
		}
		step, ok := factor.MatchTOTP(vectorSecret, code, now, c.last)
		if ok != c.want || ok && step != c.step {
			t.Errorf("the code of step %+d after %+d gives step %d (%t), want %t", c.step-current, c.last-current, step, ok, c.want)
		}
	}
	for _, code := range []string{"", "1", "12345", "1234567", "abcdef", "１２３４５６"} {
		if _, ok := factor.MatchTOTP(vectorSecret, code, now, 0); ok {
			t.Errorf("%q is accepted", code)
		}
	}
}

// TestTheURIIsReadByAnotherLibrary parses URIs as an app does.
func TestTheURIIsReadByAnotherLibrary(t *testing.T) {
	t.Parallel()
	for issuer, name := range map[string]string{
		"user-service": "user-service", "https://accounts.example.com/a?b": "accounts.example.com",
		"http://[::1]:8080": "1", "My App": "My App",
	} {
		secret := factor.NewSecret()
		raw := factor.URI(secret, factor.Issuer(issuer), "ada+test@example.com")
		key, err := otp.NewKeyFromURL(raw)
		if err != nil {
			t.Fatal(err)
		}
		got := []any{key.Type(), key.Issuer(), key.AccountName(), key.Secret(), key.Period(), key.Digits(), key.Algorithm()}
		want := []any{
			"totp", name, "ada+test@example.com", factor.EncodeSecret(secret), uint64(30), otp.DigitsSix, otp.AlgorithmSHA1,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", raw, diff)
		}
		if u, err := url.Parse(raw); err != nil || u.Query().Get("issuer") != name {
			t.Errorf("the issuer of %s is not %s (%v)", raw, name, err)
		}
	}
}
