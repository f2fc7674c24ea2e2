package user

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/event"
	"user-service/pkg/factor"
)

// SecondFactor describes the second step of a login.
type SecondFactor struct {
	Challenge string          // for LoginWithCode
	Factors   []factor.Type   // the types that the login accepts
	PublicKey json.RawMessage // the request options, for passkeys
}

// LoginChallenge is a login that has passed the password check and still needs a second factor.
type LoginChallenge struct {
	Hash   factor.ChallengeHash
	UserID uuid.UUID

	text    string // the challenge itself
	types   []factor.Type
	request json.RawMessage // for passkeys
}

// ChallengeHolder is the user of a login challenge.
type ChallengeHolder struct {
	UserID uuid.UUID
	Email  string
}

// CodeLogin is the input of the second step of a login.
type CodeLogin struct {
	Challenge string
	Proof
}

// Check returns what is wrong with the form of the input.
func (l CodeLogin) Check() FieldErrors {
	var errs FieldErrors
	if l.Challenge == "" {
		errs.Add("/challenge", Required, "is required")
	}
	l.check(&errs)
	return errs
}

// CodeAttempt is the state on which a code is checked. Until the decision is stored, the challenge, the user and the counts of failures are
// locked.
type CodeAttempt struct {
	UserID  uuid.UUID
	Logins  LoginFailures // the failures of logins with the email of the user
	Codes   FailureCount  // the wrong codes of the user since the last correct one, from all networks together
	Factors Factors
}

// CodeDecision is the decision about a code. If it has a Session, both the challenge and the code are used up.
type CodeDecision struct {
	LoginDecision
	Codes    *FailureCount  // The count of wrong codes, including this one.
	FactorID uuid.UUID      // The accepted factor; nil UUID for a recovery code.
	Step     int64          // The time step of the accepted code.
	Passkey  factor.Passkey // The passkey after its use.
	Recovery factor.CodeHash
}

// LoginWithCode completes a login with a code of an app, a recovery code or a passkey. Wrong codes count as login failures, with the same
// backoff. They also have a count of their own, which a password reset or another login does not clear.
//
// Errors: Invalid, InvalidChallenge, InvalidCode, TooManyRequests, Unavailable.
func (s *Service) LoginWithCode(ctx context.Context, l CodeLogin) (TokenPair, error) {
	if err := l.Check().Err(); err != nil {
		return TokenPair{}, err
	}
	hash := factor.HashChallenge(l.Challenge)
	holder, err := s.store.ChallengeHolder(ctx, hash)
	if err != nil {
		return TokenPair{}, s.challengeError(ctx, err)
	}
	session, err := s.newSession(ctx, holder.UserID, factor.CodeMethods())
	if err != nil {
		return TokenPair{}, err
	}
	attempt := Attempt{Email: holder.Email, Network: NetworkOf(OriginOf(ctx).IP)}
	uncanceled, cancel := withTimeToCount(ctx)
	defer cancel()
	var refusal error
	var lockedOut bool
	identity, err := s.store.RecordCode(uncanceled, hash, holder.UserID, attempt, func(a CodeAttempt) (decision CodeDecision, err error) {
		decision, refusal, err = s.decideCode(a, l, session)
		lockedOut = decision.LockedOut.Type != ""
		return decision, err
	})
	switch {
	case err != nil:
		return TokenPair{}, s.challengeError(ctx, err)
	case lockedOut:
		s.cfg.Observer.LockedOut()
	}
	if refusal != nil {
		return TokenPair{}, refusal
	}
	s.cfg.Observer.LoggedIn(session.AMR)
	return s.issueTokens(identity, session.Counter)
}

// decideCode decides whether a code completes a login. During a backoff it returns a refusal, and counts neither a login failure nor a try
// of the challenge.
func (s *Service) decideCode(a CodeAttempt, l CodeLogin, session *Session) (decision CodeDecision, refusal, err error) {
	failed := Audit{Action: LoginFailed, UserID: a.UserID, Detail: Detail{Purpose: SecondFactorCode}}
	if refusal = s.codeBackoff(a); refusal != nil {
		decision.Audit = []Audit{failed}
		return decision, refusal, nil
	}
	match := s.matchCode
	if l.Credential != nil {
		match, session.AMR = s.matchPasskey, factor.PasskeyMethods(true)
	}
	decision, ok, err := match(a, l)
	if err != nil {
		return CodeDecision{}, nil, err
	}
	if !ok {
		decision, err = s.codeFailure(a, failed)
		return decision, errCode(), err
	}
	decision.LoginDecision, err = loginSuccess(a.UserID, session, a.Logins.Now, a.Factors.detailOf(decision.FactorID))
	return decision, nil, err
}

// detailOf returns the detail of an audit entry about the use of a factor, or of a recovery code if the id is nil.
func (f Factors) detailOf(id uuid.UUID) Detail {
	for _, c := range f.All {
		if c.ID == id {
			return Detail{Factor: string(c.Type), FactorID: id}
		}
	}
	return Detail{Factor: string(factor.RecoveryCode)}
}

// matchCode finds the app that has generated a code, or the recovery code.
func (s *Service) matchCode(a CodeAttempt, l CodeLogin) (decision CodeDecision, ok bool, err error) {
	confirmed, code := a.Factors.confirmed(), l.Code
	if hash := factor.HashRecoveryCode(a.UserID, code); len(confirmed) > 0 && slices.Contains(a.Factors.RecoveryCodes, hash) {
		return CodeDecision{Recovery: hash}, true, nil
	}
	if factor.IsRecoveryCode(code) {
		return CodeDecision{}, false, nil
	}
	for _, f := range confirmed {
		if f.Type != factor.TOTP {
			continue
		}
		secret, openErr := s.open(a.UserID, f)
		if openErr != nil {
			err = openErr
			continue
		}
		if step, matches := factor.MatchTOTP(secret, code, a.Factors.Now, f.LastStep); matches {
			return CodeDecision{FactorID: f.ID, Step: step}, true, nil
		}
	}
	return CodeDecision{}, false, err
}

// matchPasskey finds the passkey that has signed the challenge of a login.
func (s *Service) matchPasskey(a CodeAttempt, l CodeLogin) (decision CodeDecision, ok bool, err error) {
	id := factor.CredentialID(l.Credential)
	for _, f := range a.Factors.confirmed() {
		if f.Type != factor.PasskeyType || !bytes.Equal(f.Passkey.ID, id) || !s.cfg.RelyingParty.Enabled() {
			continue
		}
		if used, err := s.cfg.RelyingParty.Verify(a.UserID, f.Passkey, l.Challenge, l.Credential); err == nil {
			return CodeDecision{FactorID: f.ID, Step: f.LastStep, Passkey: used}, true, nil
		}
	}
	return CodeDecision{}, false, nil
}

// codeFailure returns the decision that counts a wrong code.
func (s *Service) codeFailure(a CodeAttempt, failed Audit) (decision CodeDecision, err error) {
	counts, until := s.countFailure(a.Logins)
	codes := a.Codes
	if codes.Count++; codes.Count >= maxTotal {
		until = a.Logins.Now.Add(longestWait)
		codes.BlockedUntil = until
	}
	if !until.IsZero() {
		failed.Action = LoginBlocked
		decision.LockedOut, err = event.New(event.LockedOut, a.UserID, 0, a.Logins.Now, event.LockOut{ID: a.UserID, Until: until.UTC()})
	}
	decision.Failure, decision.Codes, decision.Audit = &counts, &codes, []Audit{failed}
	return decision, err
}

// codeBackoff returns the error with which a code is refused during a backoff, or nil without a backoff.
func (s *Service) codeBackoff(a CodeAttempt) error {
	if refusal := s.backoffError(a.Logins); refusal != nil {
		return refusal
	}
	return backoffRefusal(a.Codes.backoff(a.Logins.Now), Limit{Policy: "login", Quota: 1, Window: longestWait})
}

// loginSuccess returns the decision that opens a session. detail has the factor of the login.
func loginSuccess(userID uuid.UUID, session *Session, now time.Time, detail Detail) (LoginDecision, error) {
	detail.SessionID, detail.AMR = session.ID, session.AMR
	e, err := event.New(event.LoggedIn, userID, 0, now, event.Session{ID: userID, SessionID: session.ID})
	return LoginDecision{
		Success: true, Session: session, Event: e,
		Audit: []Audit{{Action: LoginSucceeded, UserID: userID, Actor: userID, Detail: detail}},
	}, err
}

// challengeError turns NotFound into InvalidChallenge and records it in the audit trail. It returns any other error unchanged.
func (s *Service) challengeError(ctx context.Context, err error) error {
	if !isNotFound(err) {
		return err
	}
	return s.recordRefusal(ctx, Audit{Action: TokenRefused, Detail: Detail{Purpose: SecondFactorCode}},
		&Error{Code: InvalidChallenge, Detail: "The challenge is invalid, used up or has expired; log in again.", Err: err})
}

func errCode() error {
	return &Error{Code: InvalidCode, Detail: "The code or the credential is wrong, has expired or was used before."}
}

func errSecondFactor(c *LoginChallenge) error {
	return &Error{
		Code: SecondFactorRequired, Detail: "This login requires a second factor; send it to /login/second-factor with the challenge.",
		SecondFactor: &SecondFactor{Challenge: c.text, Factors: c.types, PublicKey: c.request},
	}
}
