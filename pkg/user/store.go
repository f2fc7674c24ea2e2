package user

import (
	"context"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/event"
)

// Store keeps accounts. Each of its methods is one transaction; the events of a
// change and its entries in the audit trail are stored with the change or not at all. Its errors
// are those of this package where they mean something to the caller (NotFound, EmailTaken,
// TooManyRequests, Unavailable).
//
// A method with a grant checks it in its transaction, under locks that keep the rights of
// the caller as they are until the commit. Its errors are InvalidAccessToken, if the session
// of the caller has ended, and Forbidden; then nothing is stored.
type Store interface {
	// Create stores a new account with its roles and its password hash. It stores the events, the token and the audit entries of the
	// Change that decide returns. fresh is how many tokens its mailbox got within FreshTokenAge to verify an email, and now is the time
	// of the database.
	Create(
		ctx context.Context, grant access.Grant, u User, passwordHash string, decide func(fresh int, now time.Time) (Change, error),
	) error
	// Import stores those of the accounts whose email and id nobody has, each as Create does, and
	// returns how many they are, and the indexes of those whose id belongs to an account with another email. A dry run counts them and
	// stores nothing.
	Import(ctx context.Context, accounts []NewAccount, dryRun bool) (created int, taken []int, err error)
	// Change locks the account that the grant is about, lets decide look at it, and stores what decide returns.
	Change(ctx context.Context, grant access.Grant, decide Decide) (User, error)
	// User returns an account.
	User(ctx context.Context, id uuid.UUID) (User, error)
	// ActiveUserID returns the id of the active account with this email, whatever its case, or the nil UUID. Its work
	// is the same for every email.
	ActiveUserID(ctx context.Context, email string) (uuid.UUID, error)
	// AnnounceUsers stores an event about each of the next users that a chooses, sorted by id, while none of
	// them can change. At most a.Limit users are looked at.
	AnnounceUsers(ctx context.Context, a AnnounceRequest, about func(User) (event.Event, error)) (AnnounceResult, error)
	// CountUsers returns how many users have an id above after.
	CountUsers(ctx context.Context, after uuid.UUID) (int, error)
	// ReadyEvents returns how many events wait to be published and are not deferred; limit stands for so many or more.
	ReadyEvents(ctx context.Context, limit int) (int, error)
	// Users returns the accounts that the filter chooses, sorted by id.
	Users(ctx context.Context, f Filter) (Page, error)

	// Credential returns what a login with this email is checked against; an empty one if there is none.
	Credential(ctx context.Context, email string) (Credential, error)
	// CredentialOf returns the credential of the user with this id.
	CredentialOf(ctx context.Context, id uuid.UUID) (Credential, error)
	// LoginFailures returns what is known of failures. It does the same work whether or not there is an account.
	LoginFailures(ctx context.Context, a Attempt) (LoginFailures, error)
	// HashCosts returns how many accounts were imported with password hashes of each cost, and how many were made here,
	// whose costs are empty. It reads the hashes of imported accounts alone.
	HashCosts(ctx context.Context) ([]HashCost, error)
	// UpgradeHash replaces a user's password hash if it still is the old one.
	UpgradeHash(ctx context.Context, id uuid.UUID, old, upgraded string) error
	// RecordAttempt lets decide judge an attempt at a password, while no other attempt of the same email or user is judged, and
	// stores the verdict. It does the same work for
	// each verdict without a session. It returns whose session it opened, if any; NotFound if that
	// user is gone or disabled, or its password was changed. Past MaxSessions it ends the session of this user that was
	// not used for longest.
	RecordAttempt(ctx context.Context, a Attempt, decide func(LoginFailures) (LoginDecision, error)) (Identity, error)

	// Sessions returns the living sessions of a user, newest first; NotFound if there is no such user.
	Sessions(ctx context.Context, userID uuid.UUID) ([]Session, error)
	// OwnerOf returns the user of a living session. Errors: NotFound, Unavailable.
	OwnerOf(ctx context.Context, session uuid.UUID) (uuid.UUID, error)
	// EndSessionOfToken ends a session whose refresh token was given. It does nothing if there is no such session.
	EndSessionOfToken(ctx context.Context, id uuid.UUID) error
	// RotateSession locks the session of an active user, lets decide look at it, at a moment by the clock that all
	// replicas share, and stores what decide returns. NotFound if there is no such session. One that is out of date
	// may still be there.
	RotateSession(ctx context.Context, id uuid.UUID, decide func(s Session, now time.Time) Rotation) (Identity, error)
	// EndSession ends one session of the user that the grant is about; NotFound if there is no such session.
	EndSession(ctx context.Context, grant access.Grant, sessionID uuid.UUID) error
	// EndSessions ends all sessions of the user that the grant is about.
	EndSessions(ctx context.Context, grant access.Grant) error
	// Identify returns who a session belongs to, in one query; NotFound if the session is over or
	// the user is not active.
	Identify(ctx context.Context, userID, sessionID uuid.UUID) (Identity, error)

	// TokenHolder returns the user that a one-time token of this hash was made for; NotFound
	// if there is no such token any more.
	TokenHolder(ctx context.Context, hash TokenHash, purpose Purpose) (User, error)
	// Redeem takes a one-time token away for good and then does as Change does. NotFound if
	// there is no such token any more; an error of decide leaves the token as it is.
	Redeem(ctx context.Context, hash TokenHash, purpose Purpose, decide Decide) (User, error)

	// Roles returns all roles, sorted by name.
	Roles(ctx context.Context) ([]access.Role, error)
	// PutRole stores a role, new or not, if it has no new permission, or if fits agrees to the size that the permissions of one of its users have then, as
	// token.Size counts: that of the user who has most, among those who have more roles than this one. No role is given
	// or changed meanwhile. An error of allow about the role as it was, nil if there was none, undoes it.
	PutRole(ctx context.Context, grant access.Grant, r access.Role, fits func(size int) error, allow func(old *access.Role) error) error
	// DeleteRole deletes a role after it has let decide change all users that have it. NotFound
	// if there is no such role; the error of allow about it; RoleInUse if more than most users have it.
	DeleteRole(ctx context.Context, grant access.Grant, name string, most int, allow func(old *access.Role) error, decide func(User) (Change, error)) error

	// RecordAudit makes an entry in the audit trail about what has changed nothing.
	RecordAudit(ctx context.Context, entry Audit) error
	// AuditEvents returns entries of the audit trail, newest first.
	AuditEvents(ctx context.Context, f AuditFilter) (AuditPage, error)
}

// Decide looks at a locked account and says what is to become of it.
type Decide func(context.Context, Tx, User) (Change, error)

// Tx is what a decision may ask within the transaction that will store it.
type Tx interface {
	// AnotherActiveAdmin reports whether an active admin other than id remains. The answer
	// holds until the transaction ends.
	AnotherActiveAdmin(ctx context.Context, id uuid.UUID) (bool, error)
	// Roles returns those of the names that are roles. They stay as they are until the transaction ends.
	Roles(ctx context.Context, names []string) ([]access.Role, error)
	// PasswordAt returns when the password of the locked account was changed last.
	PasswordAt(ctx context.Context, id uuid.UUID) (time.Time, error)
	// FreshTokens returns how many one-time tokens were made within FreshTokenAge for the user or for its mailbox,
	// whichever are more. Those that are void count too, and those for a mailbox whichever account had its email.
	// now is the time of the database, by which tokens last.
	FreshTokens(ctx context.Context, u User, purpose Purpose) (n int, now time.Time, err error)
}

// NewAccount is an account that is to be stored, with the event that announces it.
type NewAccount struct {
	User         User
	PasswordHash string
	HashPrefix   string // of a hash that was made elsewhere, see password.Prefix
	Created      event.Event
}

// Change is what is to become of a locked account. The zero Change changes nothing.
type Change struct {
	User             *User         // the account after the change; nil leaves it as it is
	Delete           bool          // erase the account and all that belongs to it
	PasswordHash     string        // the new password's hash; empty leaves the old one
	EndSessions      bool          // end all sessions
	NewSession       *NewSession   // a session to be opened after that
	Token            *OneTimeToken // to be stored
	InvalidateTokens bool          // end all one-time tokens for a new password
	ClearFailures    bool          // clear all counts of failures with the email, and of the user
	LoginNetwork     netip.Prefix  // a network to be known as one from which the user has logged in
	Events           []event.Event
	// Audit are the entries about the change; they are about the account. If it ends sessions, the first one tells how many.
	Audit []Audit
}

// NewSession is a session that a change opens.
type NewSession struct {
	Session  Session
	Identity Identity // filled in by the store: whose session it is
}

// Rotation is what is to become of a locked session. The zero Turn changes nothing.
type Rotation struct {
	Session *Session // the session after the turn; nil leaves it as it is
	End     Action   // end the session, and call it so in the audit trail; TurnSession then returns NotFound
}
