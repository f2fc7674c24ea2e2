// Package factor has the rules of second factors: one-time passwords (TOTP), passkeys (WebAuthn), recovery codes, and the encryption of
// their secrets. It is independent of SQL and HTTP.
package factor

import "slices"

// Type is a type of factor.
type Type string

// The types of factors. A recovery code is valid in place of another factor.
const (
	TOTP         Type = "totp"
	PasskeyType  Type = "passkey"
	RecoveryCode Type = "recovery_code"
)

// The authentication methods of a session (RFC 8176).
const (
	methodPassword = "pwd"
	methodOTP      = "otp"  // a code
	methodKey      = "pop"  // the proof of possession of a key, which is a passkey
	methodPresence = "user" // the authenticator has verified the user
	methodMultiple = "mfa"
)

// PasswordMethods returns the methods of a login with a password alone.
func PasswordMethods() []string { return []string{methodPassword} }

// CodeMethods returns the methods of a login with a password and a code.
func CodeMethods() []string { return []string{methodPassword, methodOTP, methodMultiple} }

// PasskeyMethods returns the methods of a login with a passkey, after a password or without one.
func PasskeyMethods(afterPassword bool) []string {
	methods := []string{methodKey, methodPresence, methodMultiple}
	if afterPassword {
		methods = append([]string{methodPassword}, methods...)
	}
	return methods
}

// HasPasskey reports whether the methods include a passkey.
func HasPasskey(methods []string) bool { return slices.Contains(methods, methodKey) }
