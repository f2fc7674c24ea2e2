package user

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/factor"
)

// PasskeyRequest is what a front end needs for a login with a passkey alone.
type PasskeyRequest struct {
	Challenge string
	PublicKey json.RawMessage // the request options
}

// PasskeyLogin is the input of a login with a passkey alone.
type PasskeyLogin struct {
	Challenge  string
	Credential json.RawMessage // the response of the authenticator, in WebAuthn's toJSON form
}

// Check returns what is wrong with the form of the input.
func (l PasskeyLogin) Check() FieldErrors {
	var errs FieldErrors
	if l.Challenge == "" {
		errs.Add("/challenge", Required, "is required")
	}
	if l.Credential == nil {
		errs.Add("/credential", Required, "is required")
	}
	return errs
}

// PasskeyAttempt is the state on which a passkey is checked. Until the decision is stored, the user is locked.
type PasskeyAttempt struct {
	UserID uuid.UUID // the nil UUID for an unknown credential
	Factor Factor
	Now    time.Time // the database's time
}

// PasskeysEnabled reports whether users can log in with passkeys.
func (s *Service) PasskeysEnabled() bool { return s.FactorsEnabled() && s.cfg.RelyingParty.Enabled() }

// RequestPasskey returns a challenge for a login with a passkey alone. Errors: Unavailable.
func (s *Service) RequestPasskey(ctx context.Context) (PasskeyRequest, error) {
	challenge, hash := factor.NewChallenge()
	options, err := s.cfg.RelyingParty.Request(challenge, nil)
	if err != nil {
		return PasskeyRequest{}, err
	}
	return PasskeyRequest{Challenge: challenge, PublicKey: options}, s.store.AddPasskeyChallenge(ctx, hash)
}

// LoginWithPasskey opens a session for the user of a passkey. The response is the same for an unknown credential, an invalid signature or
// counter, and a disabled or erased account. The challenge is used up in each case.
//
// Errors: Invalid, InvalidChallenge, InvalidCredentials, TooManyRequests, Unavailable.
func (s *Service) LoginWithPasskey(ctx context.Context, l PasskeyLogin) (TokenPair, error) {
	if err := l.Check().Err(); err != nil {
		return TokenPair{}, err
	}
	session, err := s.newSession(ctx, uuid.Nil, factor.PasskeyMethods(false))
	if err != nil {
		return TokenPair{}, err
	}
	from := Attempt{Network: NetworkOf(OriginOf(ctx).IP)}
	var refused bool
	identity, err := s.store.RecordPasskey(ctx, factor.HashChallenge(l.Challenge), factor.CredentialID(l.Credential), from,
		func(a PasskeyAttempt) (decision CodeDecision, err error) {
			decision, err = s.decidePasskey(a, l, session)
			refused = decision.Session == nil
			return decision, err
		})
	switch {
	case err != nil:
		return TokenPair{}, s.challengeError(ctx, err)
	case refused:
		return TokenPair{}, &Error{Code: InvalidCredentials, Detail: "The passkey is unknown or its response is wrong."}
	}
	s.cfg.Observer.LoggedIn(session.AMR)
	return s.issueTokens(identity, session.Counter)
}

func (s *Service) decidePasskey(a PasskeyAttempt, l PasskeyLogin, session *Session) (decision CodeDecision, err error) {
	used, verifyErr := s.cfg.RelyingParty.VerifyAlone(a.UserID, a.Factor.Passkey, l.Challenge, l.Credential)
	if a.UserID == uuid.Nil || verifyErr != nil {
		decision.Audit = []Audit{{Action: LoginFailed, UserID: a.UserID, Detail: Detail{Factor: string(factor.PasskeyType)}}}
		return decision, nil
	}
	session.UserID = a.UserID
	decision.FactorID, decision.Step, decision.Passkey = a.Factor.ID, a.Factor.LastStep, used
	decision.LoginDecision, err = loginSuccess(a.UserID, session, a.Now, Detail{Factor: string(factor.PasskeyType), FactorID: a.Factor.ID})
	return decision, err
}
