package user

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/factor"
)

const (
	// MaxFactors is the maximum number of factors of a user, including those that are not confirmed.
	MaxFactors = 10
	// UnconfirmedTTL is the time within which a factor must be confirmed. Later, the cleanup deletes it.
	UnconfirmedTTL = time.Hour
	// MaxFactorName is the maximum length of the name of a factor in characters.
	MaxFactorName = 64
)

// Factor is a second factor of a user.
type Factor struct {
	ID         uuid.UUID
	Type       factor.Type
	Name       string
	CreatedAt  time.Time
	LastUsedAt time.Time // zero: never
	Confirmed  bool      // false: the factor has no effect
	Secret     factor.Sealed
	LastStep   int64 // the time step of the last accepted code
	Passkey    factor.Passkey
	Challenge  string // the challenge of a passkey's registration
}

// Factors are the factors of a user.
type Factors struct {
	All           []Factor // oldest first
	RecoveryCodes []factor.CodeHash
	Now           time.Time // the database's time
}

// Types returns the types of factors that a login accepts.
func (f Factors) Types() []factor.Type {
	types := []factor.Type{}
	for _, c := range f.confirmed() {
		if !slices.Contains(types, c.Type) {
			types = append(types, c.Type)
		}
	}
	if len(types) > 0 && len(f.RecoveryCodes) > 0 {
		types = append(types, factor.RecoveryCode)
	}
	return types
}

func (f Factors) confirmed() []Factor {
	return slices.DeleteFunc(slices.Clone(f.All), func(c Factor) bool { return !c.Confirmed })
}

// valid returns the factors that are confirmed or can still be confirmed.
func (f Factors) valid() []Factor {
	return slices.DeleteFunc(slices.Clone(f.All), func(c Factor) bool { return !c.Confirmed && f.Now.Sub(c.CreatedAt) > UnconfirmedTTL })
}

// find returns the factor with this id. Errors: NotFound.
func (f Factors) find(id uuid.UUID) (Factor, error) {
	valid := f.valid()
	i := slices.IndexFunc(valid, func(c Factor) bool { return c.ID == id })
	if i < 0 {
		return Factor{}, errNoFactor()
	}
	return valid[i], nil
}

// FactorChange describes how the factors of a locked account change. The zero FactorChange changes nothing.
type FactorChange struct {
	Add     *Factor
	Confirm *Factor // LastStep is the step of the confirming code
	Remove  uuid.UUID

	RemovePasskeys bool // all of them
	// RecoveryCodes replace all recovery codes. nil: no change. Empty: delete all.
	RecoveryCodes []factor.CodeHash
}

// NewFactor is the input for a new factor.
type NewFactor struct {
	Type            factor.Type
	Name            string // empty: the type becomes the name
	CurrentPassword string
}

// Check returns what is wrong with the form of a new factor.
func (n NewFactor) Check() FieldErrors {
	var errs FieldErrors
	if n.Type == "" {
		errs.Add("/type", Required, "is required")
	} else if n.Type != factor.TOTP && n.Type != factor.PasskeyType {
		errs.Add("/type", InvalidValue, `must be "totp" or "passkey"`, Param{"allowed", []factor.Type{factor.TOTP, factor.PasskeyType}})
	}
	if utf8.RuneCountInString(n.Name) > MaxFactorName {
		errs.Add("/name", TooLong, fmt.Sprintf("must have at most %d characters", MaxFactorName), most(MaxFactorName))
	}
	checkVisible("/name", n.Name, &errs)
	checkPasswordLength("/current_password", n.CurrentPassword, &errs)
	return errs
}

// CheckNewFactor does the same as NewFactor.Check, and refuses a passkey if passkeys are not enabled.
func (s *Service) CheckNewFactor(n NewFactor) FieldErrors {
	errs := n.Check()
	if n.Type == factor.PasskeyType && !s.cfg.RelyingParty.Enabled() {
		errs.Add("/type", InvalidValue, `must be "totp", because passkeys are not enabled`, Param{"allowed", []factor.Type{factor.TOTP}})
	}
	return errs
}

// Enrollment is a new factor with the secret that the user's app needs.
type Enrollment struct {
	Factor Factor
	Secret string // base32
	URI    string // otpauth

	PublicKey json.RawMessage // the creation options of a passkey
}

// FactorsEnabled reports whether a key that encrypts the secrets of factors is configured.
func (s *Service) FactorsEnabled() bool { return s.cfg.DataKeys.Enabled() }

// Factors returns the factors of a user, without those that were not confirmed in time. Errors: NotFound, Unavailable.
func (s *Service) Factors(ctx context.Context, id uuid.UUID) (Factors, error) {
	f, err := s.store.Factors(ctx, id)
	f.All = f.valid()
	return f, err
}

// stepUpTime is the maximum age of a login with a passkey that replaces the password when a factor is added.
const stepUpTime = 5 * time.Minute

// steppedUp reports whether the session is from a login with a passkey within stepUpTime. A passkey of the user must have been used since
// then, so that the session of a passkey that was removed adds no factor.
func (f Factors) steppedUp(by Identity) bool {
	return factor.HasPasskey(by.AMR) && f.Now.Sub(by.AuthTime) <= stepUpTime &&
		slices.ContainsFunc(f.confirmed(), func(c Factor) bool { return c.Type == factor.PasskeyType && !c.LastUsedAt.Before(by.AuthTime) })
}

// AddFactor adds a factor to the caller's account. The factor has no effect before it is confirmed. The caller must enter the password, or
// have logged in with a passkey within stepUpTime.
//
// Errors: the errors of a grant, Invalid, ReauthenticationRequired, TooManyRequests, Overloaded, Unavailable.
func (s *Service) AddFactor(ctx context.Context, by Identity, grant access.Grant, n NewFactor) (Enrollment, error) {
	if err := s.CheckNewFactor(n).Err(); err != nil {
		return Enrollment{}, err
	}
	var verified *passwordTime // nil: the login with a passkey counts
	if n.CurrentPassword != "" || !factor.HasPasskey(by.AMR) {
		at, done, err := s.reauthenticate(ctx, by, n.CurrentPassword, LoginFailed)
		if err != nil {
			return Enrollment{}, err
		}
		defer done()
		verified = &at
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Enrollment{}, fmt.Errorf("create the id of a factor: %w", err)
	}
	added := Enrollment{Factor: Factor{ID: id, Type: n.Type, Name: n.Name, CreatedAt: s.now()}}
	if n.Name == "" {
		added.Factor.Name = string(n.Type)
	}
	_, err = s.store.Change(ctx, grant, func(ctx context.Context, tx Tx, u User) (Change, error) {
		known, err := tx.Factors(ctx, u.ID)
		if err != nil {
			return Change{}, err
		}
		switch {
		case verified != nil:
			err = verified.check(ctx, tx, u.ID)
		case !known.steppedUp(by):
			err = errReauthenticate()
		}
		if err == nil {
			err = s.enroll(u, known, &added)
		}
		if err != nil {
			return Change{}, err
		}
		return decideAddFactor(known, added.Factor)
	})
	return added, err
}

// enroll adds the secret or the creation options to a new factor of a user.
func (s *Service) enroll(u User, known Factors, added *Enrollment) (err error) {
	f := &added.Factor
	if f.Type == factor.PasskeyType {
		added.PublicKey, f.Challenge, err = s.cfg.RelyingParty.Registration(u.ID, u.Email, known.passkeys())
		return err
	}
	secret := factor.NewSecret()
	if f.Secret, err = s.cfg.DataKeys.Seal(u.ID, f.ID, secret); err != nil {
		return fmt.Errorf("encrypt the secret of a factor: %w", err)
	}
	added.Secret, added.URI = factor.EncodeSecret(secret), factor.URI(secret, factor.Issuer(s.cfg.Issuer), u.Email)
	return nil
}

// passkeys returns the confirmed passkeys.
func (f Factors) passkeys() (list []factor.Passkey) {
	for _, c := range f.confirmed() {
		if c.Type == factor.PasskeyType {
			list = append(list, c.Passkey)
		}
	}
	return list
}

func decideAddFactor(known Factors, f Factor) (Change, error) {
	if len(known.valid()) >= MaxFactors {
		var errs FieldErrors
		errs.Add("/type", TooMany, fmt.Sprintf("must be one of at most %d factors; remove another one first", MaxFactors), most(MaxFactors))
		return Change{}, errs.Err()
	}
	return Change{Factors: FactorChange{Add: &f}}, nil
}

// Proof proves that a user has a factor. It is a code, or the response of an authenticator in WebAuthn's toJSON form.
type Proof struct {
	Code       string
	Credential json.RawMessage
}

// Check returns what is wrong with the form of the proof.
func (p Proof) Check() FieldErrors {
	var errs FieldErrors
	p.check(&errs)
	return errs
}

func (p Proof) check(errs *FieldErrors) {
	switch code := p.Code; {
	case code == "" && p.Credential == nil:
		errs.Add("/code", Required, "is required, unless credential is given")
	case code != "" && p.Credential != nil:
		errs.Add("/credential", Unknown, "is not valid together with code")
	case len(code) > factor.MaxCode:
		errs.Add("/code", TooLarge, fmt.Sprintf("must have at most %d bytes", factor.MaxCode), most(factor.MaxCode))
	}
}

// ConfirmFactor confirms a factor of the caller. For the first confirmed factor it returns recovery codes, and ends the caller's other
// sessions, which have no second factor.
//
// Errors: the errors of a grant, Invalid (also for a wrong code), NotFound (also for a confirmed factor), Unavailable.
func (s *Service) ConfirmFactor(ctx context.Context, grant access.Grant, id uuid.UUID, p Proof) (f Factor, codes []string, err error) {
	if err := p.Check().Err(); err != nil {
		return Factor{}, nil, err
	}
	_, err = s.store.Change(ctx, grant, func(ctx context.Context, tx Tx, u User) (Change, error) {
		var change Change
		change, f, codes, err = s.decideConfirm(ctx, tx, u, id, p)
		change.KeepSession = grant.Caller().SessionID
		return change, err
	})
	if err != nil {
		return Factor{}, nil, err
	}
	s.cfg.Observer.FactorAdded(string(f.Type))
	return f, codes, nil
}

func (s *Service) decideConfirm(
	ctx context.Context, tx Tx, u User, id uuid.UUID, p Proof,
) (change Change, f Factor, codes []string, err error) {
	known, err := tx.Factors(ctx, u.ID)
	if err != nil {
		return change, f, nil, err
	}
	if f, err = known.find(id); err != nil || f.Confirmed {
		return change, f, nil, errNoFactor()
	}
	if err := s.prove(u.ID, &f, p, known.Now); err != nil {
		return change, f, nil, err
	}
	f.Confirmed, f.LastUsedAt = true, known.Now
	change.Factors.Confirm = &f
	if len(known.confirmed()) == 0 {
		change.EndSessions = true
		codes, change.Factors.RecoveryCodes = factor.NewRecoveryCodes(u.ID)
	}
	return change, f, codes, s.announceFactor(ctx, &change, event.FactorAdded, u, f)
}

// prove checks the proof for an unconfirmed factor. It stores the passkey, or the step of the code, in the factor. Errors: Invalid,
// Unavailable.
func (s *Service) prove(userID uuid.UUID, f *Factor, p Proof, now time.Time) (err error) {
	var errs FieldErrors
	switch {
	case f.Type == factor.PasskeyType && p.Credential == nil:
		errs.Add("/credential", Required, "is required for a passkey")
	case f.Type == factor.PasskeyType && !s.cfg.RelyingParty.Enabled():
		return errNoFactor()
	case f.Type == factor.PasskeyType:
		if f.Passkey, err = s.cfg.RelyingParty.Register(userID, f.Challenge, p.Credential); err != nil {
			errs.Add("/credential", Incorrect, "is not a valid response to the creation options")
		}
	case p.Code == "":
		errs.Add("/code", Required, "is required for an app")
	default:
		secret, err := s.open(userID, *f)
		if err != nil {
			return err
		}
		step, ok := factor.MatchTOTP(secret, p.Code, now, f.LastStep)
		if !ok {
			errs.Add("/code", Incorrect, "is wrong or has expired; enter the current code of the app")
		}
		f.LastStep = step
	}
	return errs.Err()
}

// announceFactor adds an audit entry to a change that confirms or removes a factor. It also adds an event, unless the factor was never
// confirmed.
func (s *Service) announceFactor(ctx context.Context, change *Change, typ event.Type, u User, f Factor) error {
	kind := FactorAdded
	if typ == event.FactorRemoved {
		kind = FactorRemoved
	}
	change.Audit = []Audit{{Action: UserUpdated, Detail: Detail{
		Changed: []string{"factors"}, Factor: string(f.Type), FactorID: f.ID, Change: kind,
	}}}
	if !f.Confirmed {
		return nil
	}
	from := OriginOf(ctx)
	by := from.Actor
	if from.ActorID != uuid.Nil {
		by = from.ActorID.String()
	}
	e, err := event.New(typ, u.ID, u.Version, s.now(), event.Factor{
		ID: u.ID, Factor: event.FactorItem{ID: f.ID, Type: string(f.Type), Name: f.Name}, By: by,
	})
	change.Events = []event.Event{e}
	return err
}

// RemoveFactor removes a factor of the caller, who must enter the password. With the last factor it also removes the recovery codes.
//
// Errors: the errors of a grant, ReauthenticationRequired, NotFound, TooManyRequests, Overloaded, Unavailable.
func (s *Service) RemoveFactor(ctx context.Context, by Identity, grant access.Grant, id uuid.UUID, pw string) error {
	if err := CheckCurrentPassword(pw).Err(); err != nil {
		return err
	}
	verified, done, err := s.reauthenticate(ctx, by, pw, LoginFailed)
	if err != nil {
		return err
	}
	defer done()
	return s.removeFactor(ctx, grant, id, "user", func(ctx context.Context, tx Tx, u User) error {
		return verified.check(ctx, tx, u.ID)
	})
}

// RemoveFactorOf removes a factor of another user, who may have lost it.
//
// Errors: the errors of a grant, ReauthenticationRequired (the factor is the caller's own), NotFound, Unavailable.
func (s *Service) RemoveFactorOf(ctx context.Context, grant access.Grant, id uuid.UUID) error {
	if grant.Self() {
		return errReauthenticate()
	}
	return s.removeFactor(ctx, grant, id, "other", func(context.Context, Tx, User) error { return nil })
}

func (s *Service) removeFactor(
	ctx context.Context, grant access.Grant, id uuid.UUID, by string, check func(context.Context, Tx, User) error,
) error {
	var removed Factor
	_, err := s.store.Change(ctx, grant, func(ctx context.Context, tx Tx, u User) (change Change, err error) {
		if err := check(ctx, tx, u); err != nil {
			return Change{}, err
		}
		change, removed, err = s.decideRemoval(ctx, tx, u, id)
		return change, err
	})
	if err == nil && removed.Confirmed {
		s.cfg.Observer.FactorRemoved(by)
	}
	return err
}

func (s *Service) decideRemoval(ctx context.Context, tx Tx, u User, id uuid.UUID) (change Change, f Factor, err error) {
	known, err := tx.Factors(ctx, u.ID)
	if err != nil {
		return change, f, err
	}
	if f, err = known.find(id); err != nil {
		return change, f, err
	}
	change.Factors.Remove = id
	if f.Confirmed && len(known.confirmed()) == 1 {
		change.Factors.RecoveryCodes = []factor.CodeHash{}
	}
	return change, f, s.announceFactor(ctx, &change, event.FactorRemoved, u, f)
}

// CheckCurrentPassword validates the form of a password that the caller enters again.
func CheckCurrentPassword(pw string) FieldErrors {
	var errs FieldErrors
	checkPasswordLength("/current_password", pw, &errs)
	return errs
}

// NewRecoveryCodes replaces the recovery codes of the caller, who must enter the password.
//
// Errors: the errors of a grant, ReauthenticationRequired, NotFound (the caller has no factor), TooManyRequests, Overloaded, Unavailable.
func (s *Service) NewRecoveryCodes(ctx context.Context, by Identity, grant access.Grant, pw string) (codes []string, err error) {
	if err := CheckCurrentPassword(pw).Err(); err != nil {
		return nil, err
	}
	verified, done, err := s.reauthenticate(ctx, by, pw, LoginFailed)
	if err != nil {
		return nil, err
	}
	defer done()
	_, err = s.store.Change(ctx, grant, func(ctx context.Context, tx Tx, u User) (change Change, err error) {
		if err := verified.check(ctx, tx, u.ID); err != nil {
			return Change{}, err
		}
		known, err := tx.Factors(ctx, u.ID)
		if err != nil {
			return Change{}, err
		}
		if len(known.confirmed()) == 0 {
			return Change{}, errNoFactor()
		}
		codes, change.Factors.RecoveryCodes = factor.NewRecoveryCodes(u.ID)
		change.Audit = []Audit{{Action: UserUpdated, Detail: Detail{Changed: []string{"recovery_codes"}}}}
		return change, nil
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// open decrypts the secret of a factor. Errors: Unavailable (no key decrypts it).
func (s *Service) open(userID uuid.UUID, f Factor) ([]byte, error) {
	secret, err := s.cfg.DataKeys.Open(userID, f.ID, f.Secret)
	if err != nil {
		return nil, errFactorUnavailable(err)
	}
	return secret, nil
}

func errNoFactor() error { return &Error{Code: NotFound, Detail: "There is no such factor."} }

// errFactorUnavailable returns the error for a factor whose secret can't be decrypted with the configured data keys.
func errFactorUnavailable(cause error) error {
	return &Error{
		Code: Unavailable, Detail: "The second factor of this account can't be checked at this moment; try again later.",
		RetryAfter: time.Minute, Err: cause,
	}
}
