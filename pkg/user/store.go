package user

import (
	"context"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/factor"
)

// Store is the storage of accounts. Each method is one transaction: a change, its events and its audit entries are stored together or not
// at all. An error on which the caller can act is an Error (NotFound, EmailTaken, TooManyRequests, Unavailable).
//
// A method with a grant checks the grant in its transaction, under locks that keep the permissions of the caller unchanged until the
// commit. If the grant does not hold, the method stores nothing. The errors of a grant are:
//   - InvalidAccessToken: the session of the caller has ended
//   - Forbidden
//   - SecondFactorRequired: the permission requires a session with a second factor
type Store interface {
	AccountStore
	LoginStore
	SessionStore
	OneTimeTokenStore
	FactorStore
	RoleStore
	AuditStore
}

// AccountStore stores users.
type AccountStore interface {
	// Create stores a new account with its roles and its password hash. It also stores the events, the token and the audit entries of the
	// Change that decide returns. fresh is the number of tokens for a.Sends that were sent to the account's mailbox within FreshTokenAge.
	// now is the database's time. Errors: KeyInUse, ErrCompleted.
	Create(ctx context.Context, grant access.Grant, a NewAccount, decide func(fresh int, now time.Time) (Change, error)) error
	// Completed returns the completed request with this key. Errors: NotFound, also for a request that is older than IdempotencyTTL.
	Completed(ctx context.Context, key IdempotencyHash) (Completed, error)
	// Import stores the accounts whose email and id do not exist yet, as Create stores an account. It returns the number of stored
	// accounts, and the indexes of the accounts whose id already belongs to a user with another email. A dry run returns the same results
	// but stores nothing.
	Import(ctx context.Context, accounts []NewAccount, dryRun bool) (created int, taken []int, err error)
	// Change locks the target of the grant, calls decide with it, and stores the returned Change.
	Change(ctx context.Context, grant access.Grant, decide Decide) (User, error)
	// Unlock does the same as Change. It first waits for running attempts with the account's email and running reauthentications of the
	// user, so that none is counted later.
	Unlock(ctx context.Context, grant access.Grant, decide Decide) (User, error)
	// User returns an account. Errors: NotFound.
	User(ctx context.Context, id uuid.UUID) (User, error)
	// ActiveUserID returns the id of the active account with this email, or the nil UUID. It does the same work for every email.
	ActiveUserID(ctx context.Context, email string) (uuid.UUID, error)
	// AnnounceUsers locks the next users that the request selects, in the order of their ids, and stores one event for each user. It
	// reads at most a.Limit users.
	AnnounceUsers(ctx context.Context, a AnnounceRequest, about func(User) (event.Event, error)) (AnnounceResult, error)
	// CountUsers returns the number of users with an id above after.
	CountUsers(ctx context.Context, after uuid.UUID) (int, error)
	// ReadyEvents returns the number of events that wait to be published and are not deferred, up to limit.
	ReadyEvents(ctx context.Context, limit int) (int, error)
	// Export returns all data that is stored about a user, except for the audit trail. Errors: NotFound.
	Export(ctx context.Context, id uuid.UUID) (Export, error)
	// Users returns a page of accounts, sorted by id.
	Users(ctx context.Context, f Filter) (Page, error)
}

// LoginStore stores credentials and login failures.
type LoginStore interface {
	// Credential returns the credential of an email. It is empty for an unknown email.
	Credential(ctx context.Context, email string) (Credential, error)
	// CredentialOf returns the credential of a user. Errors: NotFound.
	CredentialOf(ctx context.Context, id uuid.UUID) (Credential, error)
	// LoginFailures returns the counts for an attempt. It does the same work whether or not the account exists.
	LoginFailures(ctx context.Context, a Attempt) (LoginFailures, error)
	// HashCosts returns the number of accounts for each cost of an imported hash. The entry without a cost counts the accounts that were
	// not imported.
	HashCosts(ctx context.Context) ([]HashCost, error)
	// UpgradeHash replaces the stored password hash if it still equals old.
	UpgradeHash(ctx context.Context, id uuid.UUID, old, upgraded string) error
	// RecordAttempt serializes the attempts for one email or user. It calls decide with the counts of failures, and stores the decision.
	// It does the same work for each decision without a session. For a decision with a session, it returns the caller of the opened
	// session. If the user then has more than MaxSessions, it ends the least recently used session. Errors: NotFound (the user of the
	// session has a second factor, or has been disabled or erased, or the password has been changed).
	RecordAttempt(ctx context.Context, a Attempt, decide func(LoginFailures) (LoginDecision, error)) (Identity, error)
}

// SessionStore stores sessions.
type SessionStore interface {
	// Sessions returns the active sessions of a user, newest first. Errors: NotFound.
	Sessions(ctx context.Context, userID uuid.UUID) ([]Session, error)
	// OwnerOf returns the user of an active session. Errors: NotFound.
	OwnerOf(ctx context.Context, session uuid.UUID) (uuid.UUID, error)
	// EndSessionOfToken ends the session of a token. It does nothing if the session has ended already.
	EndSessionOfToken(ctx context.Context, id uuid.UUID) error
	// RotateSession locks the session of an active user, calls decide with it and the database's time, and stores the rotation. It
	// returns the caller unless the rotation ended the session. The session may have expired: an expired session can still be stored.
	// Errors: NotFound.
	RotateSession(ctx context.Context, id uuid.UUID, decide func(s Session, now time.Time) Rotation) (Identity, Rotation, error)
	// EndSession ends one session of the target of the grant. Errors: NotFound.
	EndSession(ctx context.Context, grant access.Grant, sessionID uuid.UUID) error
	// EndSessions ends all sessions and login challenges of the target of the grant.
	EndSessions(ctx context.Context, grant access.Grant) error
	// Identify returns the caller of an active session, in one query. Errors: NotFound, also if the user is not active.
	Identify(ctx context.Context, userID, sessionID uuid.UUID) (Identity, error)
	// FindSession returns an active session, without UserAgent and IP, and its caller, in one query. Errors: NotFound, also if the user is
	// not active.
	FindSession(ctx context.Context, id uuid.UUID) (Session, Identity, error)
	// IdentifyWorkload returns the workload with this sub as a caller, in one query. It ignores roles that do not exist.
	IdentifyWorkload(ctx context.Context, sub string, roles []string) (access.Caller, error)
}

// OneTimeTokenStore stores tokens for resets, verifications and invitations.
type OneTimeTokenStore interface {
	// TokenHolder returns the user of a valid one-time token. Errors: NotFound.
	TokenHolder(ctx context.Context, hash TokenHash, purpose Purpose) (User, error)
	// Redeem deletes a valid one-time token and changes its user as Change does. If decide returns an error, the token stays valid.
	// Errors: NotFound.
	Redeem(ctx context.Context, hash TokenHash, purpose Purpose, decide Decide) (User, error)
}

// FactorStore stores second factors, recovery codes and login challenges.
type FactorStore interface {
	// Factors returns the factors of a user. Errors: NotFound.
	Factors(ctx context.Context, userID uuid.UUID) (Factors, error)
	// LoginFactors returns the factors of a user who logs in. It returns no factors if the user does not exist.
	LoginFactors(ctx context.Context, userID uuid.UUID) (Factors, error)
	// AddPasskeyChallenge stores a challenge for a login with a passkey alone.
	AddPasskeyChallenge(ctx context.Context, hash factor.ChallengeHash) error
	// RecordPasskey uses up a challenge and locks the active user of a credential. It calls decide, and stores the decision as
	// RecordAttempt does. For an unknown credential, decide gets the zero PasskeyAttempt. Errors: NotFound (the challenge is not valid).
	RecordPasskey(
		ctx context.Context, hash factor.ChallengeHash, credentialID []byte, a Attempt, decide func(PasskeyAttempt) (CodeDecision, error),
	) (Identity, error)
	// ChallengeHolder returns the user of a valid login challenge. A challenge becomes invalid after factor.MaxTries wrong codes, and when
	// the password or the email changes. Errors: NotFound.
	ChallengeHolder(ctx context.Context, hash factor.ChallengeHash) (ChallengeHolder, error)
	// RecordCode serializes the codes of one user, and the attempts for the user's email. It calls decide, and stores the decision as
	// RecordAttempt does. A decision with a failure also counts as a try of the challenge. Errors: NotFound (the challenge has become
	// invalid).
	RecordCode(
		ctx context.Context, hash factor.ChallengeHash, userID uuid.UUID, a Attempt, decide func(CodeAttempt) (CodeDecision, error),
	) (Identity, error)
}

// RoleStore stores roles.
type RoleStore interface {
	// Roles returns all roles, sorted by name.
	Roles(ctx context.Context) ([]access.Role, error)
	// PutRole creates or replaces a role. allow gets the stored role, or nil. If the role gets more permissions, fits gets the size (see
	// token.Size) of the largest permission set that a user with the role would have. If allow or fits returns an error, nothing is
	// stored.
	PutRole(ctx context.Context, grant access.Grant, r access.Role, fits func(size int) error, allow func(old *access.Role) error) error
	// DeleteRole applies decide to all users who have a role, and then deletes the role. If allow returns an error, nothing is changed.
	// Errors: NotFound, RoleInUse (more than limit users have the role).
	DeleteRole(
		ctx context.Context, grant access.Grant, name string, limit int, allow func(old *access.Role) error,
		decide func(User) (Change, error),
	) error
}

// AuditStore stores the audit trail.
type AuditStore interface {
	// RecordAudit adds an entry about an operation that changed nothing.
	RecordAudit(ctx context.Context, entry Audit) error
	// AuditEventsOf returns a page of the audit entries by or about a user, newest first. The page has only entries that are older than
	// the entry with the id before.
	AuditEventsOf(ctx context.Context, id, before uuid.UUID, limit int) (AuditPage, error)
	// AuditEvents returns a page of the audit trail, newest first.
	AuditEvents(ctx context.Context, f AuditFilter) (AuditPage, error)
}

// Decide returns the change of a locked account.
type Decide func(context.Context, Tx, User) (Change, error)

// Tx reads data in the transaction that stores a decision.
type Tx interface {
	// AnotherActiveAdmin reports whether an active admin with a password, other than id, exists. The result holds until the transaction
	// ends.
	AnotherActiveAdmin(ctx context.Context, id uuid.UUID) (bool, error)
	// Roles returns the roles with these names, and ignores names without a role. The roles do not change until the transaction ends.
	Roles(ctx context.Context, names []string) ([]access.Role, error)
	// HasPassword reports whether the locked account has a password.
	HasPassword(ctx context.Context, id uuid.UUID) (bool, error)
	// PasswordAt returns when the password of the locked account was last changed.
	PasswordAt(ctx context.Context, id uuid.UUID) (time.Time, error)
	// FreshTokens returns how many one-time tokens were created within FreshTokenAge: for the user, or for the user's mailbox, whichever
	// number is greater. The number for a mailbox includes tokens of other accounts. Tokens that are no longer valid count too. now is
	// the database's time.
	FreshTokens(ctx context.Context, u User, purpose Purpose) (n int, now time.Time, err error)
	// Factors returns the factors of the locked account.
	Factors(ctx context.Context, id uuid.UUID) (Factors, error)
}

// NewAccount is an account to be stored.
type NewAccount struct {
	User         User
	PasswordHash string      // Empty: the account has no password.
	HashPrefix   string      // The prefix of a hash from another system, see password.Prefix.
	Created      event.Event // Only for an import.
	Sends        Purpose     // The purpose of the token to send. Empty: no token.
	Idempotency  *Idempotency
}

// Change describes how a locked account changes. The zero Change changes nothing.
type Change struct {
	User         *User  // the new state of the account; nil: unchanged
	Delete       bool   // erase the account
	PasswordHash string // the new hash; empty: unchanged
	// EndSessions ends all sessions except KeepSession, and all login challenges, before NewSession is opened.
	EndSessions      bool
	KeepSession      uuid.UUID
	NewSession       *NewSession
	Token            *OneTimeToken // a token to store
	InvalidateTokens bool          // invalidate the tokens of resets and invitations
	// ClearFailures deletes the counts of failures of the email's logins and of the user's reauthentications.
	ClearFailures bool
	ClearCodes    bool         // delete the count of wrong codes
	LoginNetwork  netip.Prefix // a network that becomes a known network of the user
	Factors       FactorChange
	Events        []event.Event
	// Audit are the audit entries about the account. If the change ends sessions, the first entry gets the number of these sessions.
	Audit []Audit
}

// NewSession is a session that a change opens.
type NewSession struct {
	Session  Session
	Identity Identity // set by the store: the caller of the session
}

// RotationOutcome is the result of presenting a refresh token.
type RotationOutcome int

// The outcomes of presenting a refresh token.
const (
	Repeated RotationOutcome = iota // the previous token within the grace: nothing changes
	Rotated                         // the current token: it is replaced
	Reused                          // a used token: the session ends
	Expired                         // an expired session: it ends
)

// Rotation is the decision about a locked session.
type Rotation struct {
	Outcome RotationOutcome
	Session Session // the session after the rotation; zero if it ends
}
