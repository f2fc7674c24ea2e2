package user

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/event"
	"user-service/pkg/factor"
	"user-service/pkg/password"
)

// refusalTime is the minimum time after which an attempt is refused during a backoff. The queries for an existing account take a few
// hundredths of a millisecond longer than those for an unknown email. Without the minimum, this difference would be 3 % of the response
// time.
const refusalTime = 20 * time.Millisecond

// countTime is the minimum time that remains for recording an attempt after its hash has used up the time of the request.
const countTime = 150 * time.Millisecond

// LoginDecision is the decision about an attempt. The zero LoginDecision changes nothing.
type LoginDecision struct {
	Failure *LoginFailures // the counts after one more failure
	// Success resets the count of this network. With a Session, the network becomes known.
	Success bool
	Session *Session // the session to open
	// Challenge is a login that still needs a second factor. It is stored instead of a session.
	Challenge *LoginChallenge
	// PasswordAt is the time at which the verified password was last changed. If the stored time differs, neither a session is opened nor
	// a challenge stored.
	PasswordAt time.Time
	Event      event.Event // about the user
	// LockedOut is an event about the user. It is not stored if such an event was stored for the user within LockedOutInterval.
	LockedOut event.Event
	Audit     []Audit
}

// Login opens a session, or returns a challenge if the user has a second factor. For an unknown email, a wrong password and a disabled
// account, the response and the work are the same. During a backoff no hash is computed, and the correct password is refused too.
//
// Errors: Invalid, InvalidCredentials, SecondFactorRequired, TooManyRequests, Overloaded, Unavailable.
func (s *Service) Login(ctx context.Context, l Login) (TokenPair, error) {
	if err := l.Check().Err(); err != nil {
		return TokenPair{}, err
	}
	login := Attempt{Email: l.Email, Network: NetworkOf(OriginOf(ctx).IP)}
	check, result, err := s.verifyPassword(ctx, login, LoginFailed, l.Password, func(ctx context.Context) (Credential, error) {
		return s.credential(ctx, l.Email)
	})
	if err != nil {
		return TokenPair{}, err
	}
	if check.ok = result.OK && check.cred.Status == Active; check.ok {
		if check.session, err = s.newSession(ctx, check.cred.UserID, factor.PasswordMethods()); err != nil {
			return TokenPair{}, err
		}
	}
	identity, err := s.recordAttempt(ctx, login, check)
	if isNotFound(err) {
		err = s.recordWithoutSession(ctx, login, &check)
	}
	switch {
	case err != nil:
		return TokenPair{}, err
	case !check.ok:
		return TokenPair{}, errCredentials()
	}
	if result.Rehash { // not earlier: a refused attempt must not take longer if its password is correct
		s.upgrade(ctx, check.cred, l.Password)
	}
	switch {
	case check.challenge != nil:
		return TokenPair{}, errSecondFactor(check.challenge)
	case check.session == nil:
		return TokenPair{}, errFactorUnavailable(nil)
	}
	s.cfg.Observer.LoggedIn(check.session.AMR)
	return s.issueTokens(identity, check.session.Counter)
}

// recordWithoutSession records a login with a correct password that the store has refused. Either the user has a second factor: then it
// prepares a challenge, or nothing if the factor can't be checked without DATA_KEY. Or the account was disabled or erased, or its password
// was changed, since the credential was read: then the login has failed. Most users have no factor, so a login does not read the factors
// before the store refuses it.
func (s *Service) recordWithoutSession(ctx context.Context, login Attempt, check *passwordCheck) error {
	known, err := s.store.LoginFactors(ctx, check.cred.UserID)
	if err != nil {
		return err
	}
	types := known.Types()
	check.session, check.factors = nil, len(types) > 0
	if check.factors && s.FactorsEnabled() {
		check.challenge = &LoginChallenge{UserID: check.cred.UserID, types: types}
		check.challenge.text, check.challenge.Hash = factor.NewChallenge()
		if err := s.requestPasskey(check.challenge, known.passkeys()); err != nil {
			return err
		}
	}
	if check.factors {
		_, err = s.recordAttempt(ctx, login, *check)
	}
	if !check.factors || isNotFound(err) {
		check.ok = false
		_, err = s.recordAttempt(ctx, login, *check)
	}
	return err
}

// requestPasskey adds the request options for the passkeys of the user to a challenge. Without WEBAUTHN_RP_ID, the login accepts none.
func (s *Service) requestPasskey(c *LoginChallenge, passkeys []factor.Passkey) (err error) {
	if !s.cfg.RelyingParty.Enabled() {
		c.types = slices.DeleteFunc(c.types, func(t factor.Type) bool { return t == factor.PasskeyType })
	} else if len(passkeys) > 0 {
		c.request, err = s.cfg.RelyingParty.Request(c.text, passkeys)
	}
	return err
}

// passwordCheck is the result of verifying a password.
type passwordCheck struct {
	cred    Credential // Zero for an unknown email.
	ok      bool       // Correct password of an active account.
	failed  Action     // The audit action of a failure.
	session *Session   // The session to open; nil for a reauthentication, and if the login needs a second factor.

	factors   bool            // The login needs a second factor.
	challenge *LoginChallenge // The challenge to store; nil without a second factor.
}

// verifyPassword checks a password against the credential that read returns, unless a backoff is in force. It reads the credential before
// it waits for a slot to hash, because a slot that waits for a query computes nothing. For an unknown email it
// computes a hash with the cost of one of the accounts. If the hash does not end in time, or the client disconnects, it records a
// failure. Otherwise a client could request expensive hashes without a limit. It does not record an attempt that the hash queue refuses.
//
// Errors: TooManyRequests, Overloaded, the errors of read.
func (s *Service) verifyPassword(
	ctx context.Context, a Attempt, failed Action, pw string, read func(context.Context) (Credential, error),
) (passwordCheck, password.Result, error) {
	check := passwordCheck{failed: failed}
	if err := s.checkBackoff(ctx, a, failed); err != nil {
		return check, password.Result{}, err
	}
	cred, err := read(ctx)
	if err != nil {
		return check, password.Result{}, err
	}
	check.cred = cred
	started := false
	result, err := s.hasher.Verify(ctx, flow(ctx, a.class()), pw, func(context.Context) (password.Stored, error) {
		started = true
		return password.Stored{Hash: cred.PasswordHash, Imported: cred.Imported, Number: cred.number}, nil
	})
	switch {
	case errors.Is(err, password.ErrUnknownFormat): // no password matches such a hash
		s.cfg.Log.WarnContext(ctx, "a stored password hash has an unknown format", "error", err)
		return check, password.Result{}, nil
	case err != nil && started && !errors.Is(err, password.ErrBusy):
		if _, recordErr := s.recordAttempt(ctx, a, check); recordErr != nil {
			s.cfg.Log.DebugContext(ctx, "an attempt whose hash did not end in time was not recorded", "error", recordErr)
		}
	}
	if err != nil {
		return check, password.Result{}, hashError(err)
	}
	return check, result, nil
}

// checkBackoff refuses an attempt during a backoff, before a hash is computed for it.
func (s *Service) checkBackoff(ctx context.Context, a Attempt, failed Action) error {
	if s.cfg.MaxFailures == 0 {
		return nil
	}
	earliest := time.NewTimer(refusalTime)
	defer earliest.Stop()
	failures, err := s.store.LoginFailures(ctx, a)
	if err != nil {
		return err
	}
	refusal := s.backoffError(failures)
	if refusal == nil {
		return nil
	}
	refusal = s.recordRefusal(ctx, Audit{Action: failed, UserID: failures.UserID}, refusal)
	select {
	case <-earliest.C:
	case <-ctx.Done():
	}
	return refusal
}

// recordAttempt decides whether an attempt succeeds after its hash was computed, and stores the decision even if the client has
// disconnected. If a backoff has begun in the meantime, it refuses the attempt.
func (s *Service) recordAttempt(ctx context.Context, a Attempt, check passwordCheck) (Identity, error) {
	ctx, cancel := withTimeToCount(ctx)
	defer cancel()
	var refusal error
	var lockedOut bool
	identity, err := s.store.RecordAttempt(ctx, a, func(f LoginFailures) (decision LoginDecision, err error) {
		decision, refusal, err = s.decideAttempt(f, check)
		lockedOut = decision.LockedOut.Type != ""
		return decision, err
	})
	if err != nil {
		return identity, err
	}
	if lockedOut {
		s.cfg.Observer.LockedOut()
	}
	return identity, refusal
}

// decideAttempt decides whether an attempt succeeds. During a backoff it returns a refusal, and does not count the attempt, so that the
// attempt does not extend the backoff.
func (s *Service) decideAttempt(f LoginFailures, check passwordCheck) (decision LoginDecision, refusal, err error) {
	if refusal = s.backoffError(f); refusal != nil {
		return LoginDecision{Audit: []Audit{{Action: check.failed, UserID: check.cred.UserID}}}, refusal, nil
	}
	if check.ok {
		decision, err = check.success(f)
	} else {
		decision, err = s.failure(f, check)
	}
	return decision, nil, err
}

// withTimeToCount returns a context that does not end when the client disconnects, and that lasts for at least countTime.
func withTimeToCount(ctx context.Context) (context.Context, context.CancelFunc) {
	uncanceled := context.WithoutCancel(ctx)
	deadline, ok := ctx.Deadline()
	if !ok {
		return uncanceled, func() {}
	}
	if earliest := time.Now().Add(countTime); deadline.Before(earliest) {
		deadline = earliest
	}
	return context.WithDeadline(uncanceled, deadline)
}

// failure counts a failed attempt. LockedOut is set if a backoff begins.
func (s *Service) failure(f LoginFailures, check passwordCheck) (decision LoginDecision, err error) {
	counts, until := s.countFailure(f)
	userID, action := check.cred.UserID, check.failed
	if !until.IsZero() {
		action = LoginBlocked
		decision.LockedOut, err = event.New(event.LockedOut, userID, 0, f.Now, event.LockOut{ID: userID, Until: until.UTC()})
	}
	decision.Failure, decision.Audit = &counts, []Audit{{Action: action, UserID: userID}}
	return decision, err
}

// success resets the count of failures, unless the login needs a second factor. For a login it also opens the session.
func (c passwordCheck) success(f LoginFailures) (LoginDecision, error) {
	switch {
	case c.factors:
		return c.needsFactor(), nil
	case c.session == nil:
		return LoginDecision{Success: true}, nil
	}
	decision, err := loginSuccess(c.cred.UserID, c.session, f.Now, Detail{})
	decision.PasswordAt = c.cred.ChangedAt
	return decision, err
}

// needsFactor returns the decision that stores the challenge. It does not reset the count of failures, because wrong codes count as login
// failures too.
func (c passwordCheck) needsFactor() LoginDecision {
	if c.challenge == nil {
		return LoginDecision{}
	}
	return LoginDecision{
		Challenge: c.challenge, PasswordAt: c.cred.ChangedAt,
		Audit: []Audit{{Action: TokenCreated, UserID: c.cred.UserID, Detail: Detail{Purpose: SecondFactorCode}}},
	}
}

// upgrade replaces a stored hash with a hash of the password with the current parameters. If this fails, the next login repeats it.
func (s *Service) upgrade(ctx context.Context, cred Credential, pw string) {
	if hash, err := s.hasher.Hash(ctx, second(flow(ctx, password.Login)), pw); err == nil {
		_ = s.store.UpgradeHash(ctx, cred.UserID, cred.PasswordHash, hash)
	}
}

func (s *Service) newSession(ctx context.Context, userID uuid.UUID, amr []string) (*Session, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("create a session id: %w", err)
	}
	now, from := s.now(), OriginOf(ctx)
	session := &Session{ID: id, UserID: userID, CreatedAt: now, RotatedAt: now, UserAgent: from.UserAgent, IP: from.IP, AMR: amr}
	session.ExpiresAt = s.expiry(*session)
	return session, nil
}
