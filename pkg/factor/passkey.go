package factor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"
)

// errCredential means that an authenticator's response is wrong.
var errCredential = errors.New("the response of the authenticator is not valid")

// The limits of a passkey. Without them, one verification of an RSA signature could take many seconds.
const (
	maxResponse            = 8 << 10    // the bytes of an authenticator's response
	minRSABits, maxRSABits = 2048, 4096 // the size of an RSA modulus
	maxRSAExponent         = 65537
)

// algorithms are the accepted signature algorithms: ES256, EdDSA and RS256, which together all authenticators support.
var algorithms = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
}

// isUsable reports whether a public key in COSE form is valid. An RSA key must be within the limits.
func isUsable(public []byte) bool {
	key, err := webauthncose.ParsePublicKey(public)
	rsa, isRSA := key.(webauthncose.RSAPublicKeyData)
	if err != nil || !isRSA {
		return err == nil
	}
	bits, exponent := new(big.Int).SetBytes(rsa.Modulus).BitLen(), new(big.Int).SetBytes(rsa.Exponent)
	return bits >= minRSABits && bits <= maxRSABits && exponent.IsInt64() && exponent.Int64() <= maxRSAExponent
}

// RelyingParty registers and verifies passkeys (WebAuthn level 2). A nil RelyingParty means that passkeys are off.
type RelyingParty struct{ web *webauthn.WebAuthn }

// Passkey is a credential of an authenticator.
type Passkey struct {
	ID     []byte          // the credential id
	Record json.RawMessage // the public key, the counter and the flags of the authenticator
}

// NewRelyingParty returns a relying party. id is a domain, and origins are the origins of its pages. Authenticators show name. With an
// empty id, it returns nil. Errors: an invalid id or origin.
func NewRelyingParty(id, name string, origins []string) (*RelyingParty, error) {
	if id == "" {
		return nil, nil
	}
	required := true
	web, err := webauthn.New(&webauthn.Config{
		RPID: id, RPDisplayName: name, RPOrigins: origins, AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			RequireResidentKey: &required, ResidentKey: protocol.ResidentKeyRequirementRequired,
			UserVerification: protocol.VerificationRequired,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("configure passkeys: %w", err)
	}
	return &RelyingParty{web}, nil
}

// Enabled reports whether passkeys are configured.
func (r *RelyingParty) Enabled() bool { return r != nil }

// holder is a user of package webauthn. The handle of a user is the 16 bytes of the id.
type holder struct {
	id          uuid.UUID
	name        string
	credentials []webauthn.Credential
}

// WebAuthnID implements webauthn.User.
func (h holder) WebAuthnID() []byte { return h.id[:] }

// WebAuthnName implements webauthn.User.
func (h holder) WebAuthnName() string { return h.name }

// WebAuthnDisplayName implements webauthn.User.
func (h holder) WebAuthnDisplayName() string { return h.name }

// WebAuthnCredentials implements webauthn.User.
func (h holder) WebAuthnCredentials() []webauthn.Credential { return h.credentials }

func newHolder(id uuid.UUID, name string, passkeys []Passkey) (holder, error) {
	h := holder{id: id, name: name}
	for _, p := range passkeys {
		var c webauthn.Credential
		if err := json.Unmarshal(p.Record, &c); err != nil {
			return h, fmt.Errorf("read a stored passkey: %w", err)
		}
		h.credentials = append(h.credentials, c)
	}
	return h, nil
}

// Registration returns the creation options of a new passkey of a user, and their challenge. The options exclude known passkeys.
func (r *RelyingParty) Registration(userID uuid.UUID, name string, known []Passkey) (options json.RawMessage, challenge string, err error) {
	h, err := newHolder(userID, name, known)
	if err != nil {
		return nil, "", err
	}
	creation, session, err := r.web.BeginRegistration(h, webauthn.WithCredentialParameters(algorithms),
		webauthn.WithExclusions(webauthn.Credentials(h.credentials).CredentialDescriptors()))
	if err != nil {
		return nil, "", fmt.Errorf("begin the registration of a passkey: %w", err)
	}
	options, err = json.Marshal(creation.Response)
	return options, session.Challenge, err
}

// Register returns the passkey of an authenticator's response to the creation options with this challenge. Errors: a wrong response.
func (r *RelyingParty) Register(userID uuid.UUID, challenge string, response json.RawMessage) (Passkey, error) {
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil || len(response) > maxResponse || !isUsable(parsed.Response.AttestationObject.AuthData.AttData.CredentialPublicKey) {
		return Passkey{}, errCredential
	}
	session := r.session(challenge)
	session.UserID, session.CredParams = userID[:], algorithms
	credential, err := r.web.CreateCredential(holder{id: userID}, session, parsed)
	if err != nil {
		return Passkey{}, errors.Join(errCredential, err)
	}
	credential.Attestation = webauthn.CredentialAttestation{} // not requested, and not needed later
	record, err := json.Marshal(credential)
	return Passkey{ID: credential.ID, Record: record}, err
}

// Request returns the request options of a login with a challenge. Without passkeys the authenticator offers its own.
func (r *RelyingParty) Request(challenge string, passkeys []Passkey) (json.RawMessage, error) {
	raw, err := protocolBytes(challenge)
	if err != nil {
		return nil, err
	}
	options := protocol.PublicKeyCredentialRequestOptions{
		Challenge: raw, RelyingPartyID: r.web.Config.RPID, UserVerification: protocol.VerificationRequired,
		Timeout: int(ChallengeTTL.Milliseconds()),
	}
	for _, p := range passkeys {
		options.AllowedCredentials = append(options.AllowedCredentials, protocol.CredentialDescriptor{
			Type: protocol.PublicKeyCredentialType, CredentialID: p.ID,
		})
	}
	return json.Marshal(options)
}

// CredentialID returns the id of the credential in an authenticator's response, or nil.
func CredentialID(response json.RawMessage) []byte {
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return nil
	}
	return parsed.RawID
}

// VerifyAlone does the same as Verify for a login without a password. There the response must name the user (WebAuthn level 2, 7.2 step 6).
func (r *RelyingParty) VerifyAlone(userID uuid.UUID, p Passkey, challenge string, response json.RawMessage) (Passkey, error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil || len(parsed.Response.UserHandle) == 0 {
		return Passkey{}, errCredential
	}
	return r.Verify(userID, p, challenge, response)
}

// Verify verifies an authenticator's response to a challenge with a passkey of a user. It returns the passkey with the new counter.
//
// Errors: a wrong response, a response for another user, a counter that does not increase. A counter that stays 0 is valid.
func (r *RelyingParty) Verify(userID uuid.UUID, p Passkey, challenge string, response json.RawMessage) (Passkey, error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil || len(response) > maxResponse || !bytes.Equal(parsed.RawID, p.ID) {
		return Passkey{}, errCredential
	}
	h, err := newHolder(userID, "", []Passkey{p})
	if err != nil {
		return Passkey{}, err
	}
	if !isUsable(h.credentials[0].PublicKey) {
		return Passkey{}, errCredential
	}
	session := r.session(challenge)
	session.UserID = userID[:]
	credential, err := r.web.ValidateLogin(h, session, parsed)
	if err != nil {
		return Passkey{}, errors.Join(errCredential, err)
	}
	if credential.Authenticator.CloneWarning {
		return Passkey{}, errors.Join(errCredential, errors.New("the counter of the authenticator did not increase"))
	}
	record, err := json.Marshal(credential)
	return Passkey{ID: p.ID, Record: record}, err
}

func (r *RelyingParty) session(challenge string) webauthn.SessionData {
	return webauthn.SessionData{
		Challenge: challenge, RelyingPartyID: r.web.Config.RPID, UserVerification: protocol.VerificationRequired,
	}
}

func protocolBytes(challenge string) (raw protocol.URLEncodedBase64, err error) {
	quoted, err := json.Marshal(challenge)
	if err != nil {
		return nil, err
	}
	return raw, raw.UnmarshalJSON(quoted)
}
