package factor

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// The parameters of one-time passwords (RFC 6238). They are the defaults that every authenticator app supports.
const (
	secretBytes = 20 // The output size of SHA-1, as RFC 4226 section 4 recommends.
	digits      = otp.DigitsSix
	period      = 30 // seconds
	// skew is the number of time steps before and after the current one whose codes are accepted (RFC 6238 section 5.2).
	skew = 1
)

// NewSecret returns a random secret.
func NewSecret() []byte {
	secret := make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails: crypto/rand would end the program
	return secret
}

// EncodeSecret returns a secret in base32 without padding, as people type it into an app.
func EncodeSecret(secret []byte) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
}

// URI returns the otpauth URI of a secret, for a QR code. Apps show issuer and account.
func URI(secret []byte, issuer, account string) string {
	label := url.PathEscape(issuer) + ":" + url.PathEscape(account)
	// Some apps do not decode a plus sign, so spaces are %20.
	return fmt.Sprintf("otpauth://totp/%s?secret=%s&issuer=%s&algorithm=SHA1&digits=%d&period=%d",
		label, EncodeSecret(secret), url.PathEscape(issuer), digits.Length(), period)
}

// Issuer returns the name of the service for authenticator apps: the host if issuer is a URL. A colon would end the name.
func Issuer(issuer string) string {
	if u, err := url.Parse(issuer); err == nil && u.Hostname() != "" {
		return strings.ReplaceAll(u.Hostname(), ":", "")
	}
	return strings.ReplaceAll(issuer, ":", " ")
}

// MatchTOTP returns the time step of a code at a time. last is the step of the last accepted code. ok is false for a wrong code, and for a
// code at or before last (RFC 6238 section 5.2).
func MatchTOTP(secret []byte, code string, now time.Time, last int64) (step int64, ok bool) {
	current := now.Unix() / period
	for _, at := range []int64{current, current - skew, current + skew} {
		want, err := hotp.GenerateCodeCustom(EncodeSecret(secret), uint64(at), //nolint:gosec // a time after 1970
			hotp.ValidateOpts{Digits: digits, Algorithm: otp.AlgorithmSHA1})
		if err == nil && at > last && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			return at, true
		}
	}
	return 0, false
}

// TOTPCode returns the code of a secret at a time.
func TOTPCode(secret []byte, at time.Time) (string, error) {
	return hotp.GenerateCodeCustom(EncodeSecret(secret), uint64(at.Unix()/period), //nolint:gosec // a time after 1970
		hotp.ValidateOpts{Digits: digits, Algorithm: otp.AlgorithmSHA1})
}
