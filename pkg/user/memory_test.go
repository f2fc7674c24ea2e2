package user

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/event"
	"user-service/pkg/password"
	"user-service/pkg/token"
)

// memory is a Store for one goroutine, with which tests of the rules run in milliseconds. It implements no locks, transactions or
// permissions: the tests of the packages postgres and httpapi check these with PostgreSQL.
type memory struct {
	Store // nil: methods that memory does not implement panic

	users     map[uuid.UUID]User
	hashes    map[uuid.UUID]string
	changed   map[uuid.UUID]time.Time // when the passwords were changed
	sessions  map[uuid.UUID]Session
	tokens    map[TokenHash]uuid.UUID
	failures  map[string]FailureCount
	roles     []access.Role
	audit     []Action
	announced []event.Type
	factors   Factors // the factors at every login
	now       time.Time
}

func newMemory(t *testing.T) (*memory, *Service) {
	t.Helper()
	hasher, err := password.NewHasher(password.Config{
		Params: password.Params{MemoryKiB: 8, Iterations: 1, Parallelism: 1},
		Limits: password.Limits{Concurrency: 1, Queue: 8, MaxWait: time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := token.New(token.Config{
		Keys: token.Keys{Secret: rand32()}, Issuer: "test", Audience: "test", ClientID: "test", AccessTTL: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{
		users: map[uuid.UUID]User{}, hashes: map[uuid.UUID]string{}, changed: map[uuid.UUID]time.Time{}, sessions: map[uuid.UUID]Session{},
		tokens: map[TokenHash]uuid.UUID{}, failures: map[string]FailureCount{}, now: time.Now(),
		roles: []access.Role{{Name: "admin", Permissions: access.Permissions()}, {Name: "user"}},
	}
	s := New(Config{
		RegistrationEnabled: true, VerifyAtRegistration: true, MaxFailures: 5, Passwords: password.Policy{MinLength: 15},
		RefreshIdleTTL: idle, RefreshTTL: absolute,
	}, m, hasher, tokens)
	s.now = func() time.Time { return m.now }
	return m, s
}

func (m *memory) Create(
	_ context.Context, _ access.Grant, a NewAccount, decide func(fresh int, now time.Time) (Change, error),
) error {
	u := a.User
	for _, other := range m.users {
		if EmailKey(other.Email) == EmailKey(u.Email) {
			return &Error{Code: EmailTaken}
		}
	}
	change, err := decide(0, m.now)
	if err != nil {
		return err
	}
	m.users[u.ID], m.hashes[u.ID], m.changed[u.ID] = u, a.PasswordHash, m.now
	m.audit = append(m.audit, UserCreated)
	m.apply(u, change)
	return nil
}

func (m *memory) apply(u User, change Change) {
	if change.User != nil {
		m.users[u.ID] = *change.User
	}
	if change.PasswordHash != "" {
		m.hashes[u.ID], m.changed[u.ID] = change.PasswordHash, m.now
	}
	if change.EndSessions {
		maps.DeleteFunc(m.sessions, func(_ uuid.UUID, s Session) bool { return s.UserID == u.ID })
	}
	if change.NewSession != nil {
		m.sessions[change.NewSession.Session.ID] = change.NewSession.Session
		change.NewSession.Identity = m.identity(change.NewSession.Session)
	}
	if change.Token != nil {
		m.tokens[change.Token.Hash] = u.ID
	}
	if change.ClearFailures {
		clear(m.failures)
	}
	for _, e := range change.Events {
		m.announced = append(m.announced, e.Type)
	}
	for _, entry := range change.Audit {
		m.audit = append(m.audit, entry.Action)
	}
}

func (m *memory) identity(s Session) Identity {
	u := m.users[s.UserID]
	return Identity{Caller: access.Caller{UserID: u.ID, SessionID: s.ID, Roles: u.Roles}, User: u, AuthTime: s.CreatedAt, AMR: s.AMR}
}

func (m *memory) Change(ctx context.Context, grant access.Grant, decide Decide) (User, error) {
	u, ok := m.users[grant.Target()]
	if !ok {
		return User{}, &Error{Code: NotFound}
	}
	change, err := decide(ctx, m.tx(u), u)
	if err != nil {
		return User{}, err
	}
	m.apply(u, change)
	return m.users[u.ID], nil
}

func (m *memory) tx(u User) Tx {
	return answers{roles: m.roles, passwordAt: m.changed[u.ID], noPassword: m.hashes[u.ID] == ""}
}

func (m *memory) Roles(context.Context) ([]access.Role, error) { return m.roles, nil }

func (m *memory) byEmail(email string) (User, bool) {
	for _, u := range m.users {
		if EmailKey(u.Email) == EmailKey(email) {
			return u, true
		}
	}
	return User{}, false
}

func (m *memory) ActiveUserID(_ context.Context, email string) (uuid.UUID, error) {
	u, _ := m.byEmail(email)
	return u.ID, nil
}

func (m *memory) Credential(ctx context.Context, email string) (Credential, error) {
	u, ok := m.byEmail(email)
	if !ok {
		return Credential{}, nil
	}
	return m.CredentialOf(ctx, u.ID)
}

func (m *memory) CredentialOf(_ context.Context, id uuid.UUID) (Credential, error) {
	u, ok := m.users[id]
	if !ok {
		return Credential{}, &Error{Code: NotFound}
	}
	return Credential{UserID: id, Email: u.Email, PasswordHash: m.hashes[id], ChangedAt: m.changed[id], Status: u.Status}, nil
}

func (m *memory) UpgradeHash(_ context.Context, id uuid.UUID, _, upgraded string) error {
	m.hashes[id] = upgraded
	return nil
}

func counterOf(a Attempt) string { return a.UserID.String() + EmailKey(a.Email) }

func (m *memory) LoginFailures(_ context.Context, a Attempt) (LoginFailures, error) {
	return LoginFailures{Now: m.now, Network: m.failures[counterOf(a)]}, nil
}

func (m *memory) RecordAttempt(ctx context.Context, a Attempt, decide func(LoginFailures) (LoginDecision, error)) (id Identity, err error) {
	failures, _ := m.LoginFailures(ctx, a)
	decision, err := decide(failures)
	if err != nil {
		return id, err
	}
	if decision.Session != nil && (m.users[decision.Session.UserID].Status != Active || len(m.factors.Types()) > 0) {
		return id, &Error{Code: NotFound}
	}
	if decision.Failure != nil {
		m.failures[counterOf(a)] = decision.Failure.Network
	}
	if decision.Success {
		delete(m.failures, counterOf(a))
	}
	if decision.Session != nil {
		m.sessions[decision.Session.ID] = *decision.Session
		id = m.identity(*decision.Session)
	}
	for _, entry := range decision.Audit {
		m.audit = append(m.audit, entry.Action)
	}
	return id, nil
}

func (m *memory) LoginFactors(context.Context, uuid.UUID) (Factors, error) { return m.factors, nil }

func (m *memory) RotateSession(
	_ context.Context, id uuid.UUID, decide func(s Session, now time.Time) Rotation,
) (Identity, Rotation, error) {
	s, ok := m.sessions[id]
	if !ok {
		return Identity{}, Rotation{}, &Error{Code: NotFound}
	}
	rotation := decide(s, m.now)
	switch rotation.Outcome {
	case Reused, Expired:
		delete(m.sessions, id)
	case Rotated:
		m.sessions[id] = rotation.Session
	}
	return m.identity(s), rotation, nil
}

func (m *memory) Identify(_ context.Context, userID, sessionID uuid.UUID) (Identity, error) {
	s, ok := m.sessions[sessionID]
	if !ok || s.UserID != userID {
		return Identity{}, &Error{Code: NotFound}
	}
	return m.identity(s), nil
}

func (m *memory) Unlock(ctx context.Context, grant access.Grant, decide Decide) (User, error) {
	return m.Change(ctx, grant, decide)
}

func (m *memory) FindSession(_ context.Context, id uuid.UUID) (Session, Identity, error) {
	s, ok := m.sessions[id]
	if !ok {
		return Session{}, Identity{}, &Error{Code: NotFound}
	}
	return s, m.identity(s), nil
}

func (m *memory) OwnerOf(_ context.Context, session uuid.UUID) (uuid.UUID, error) {
	s, ok := m.sessions[session]
	if !ok {
		return uuid.Nil, &Error{Code: NotFound}
	}
	return s.UserID, nil
}

func (m *memory) EndSessionOfToken(_ context.Context, id uuid.UUID) error {
	delete(m.sessions, id)
	return nil
}

func (m *memory) TokenHolder(_ context.Context, hash TokenHash, _ Purpose) (User, error) {
	u, ok := m.users[m.tokens[hash]]
	if !ok {
		return User{}, &Error{Code: NotFound}
	}
	return u, nil
}

func (m *memory) Redeem(ctx context.Context, hash TokenHash, purpose Purpose, decide Decide) (User, error) {
	u, err := m.TokenHolder(ctx, hash, purpose)
	if err != nil {
		return u, err
	}
	delete(m.tokens, hash)
	return m.Change(ctx, access.Internal(u.ID), decide)
}

func (m *memory) RecordAudit(_ context.Context, entry Audit) error {
	m.audit = append(m.audit, entry.Action)
	return nil
}

func (m *memory) AnnounceUsers(_ context.Context, a AnnounceRequest, about func(User) (event.Event, error)) (r AnnounceResult, err error) {
	ids := slices.SortedFunc(maps.Keys(m.users), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	for _, id := range ids {
		if slices.Compare(id[:], a.After[:]) <= 0 || a.User != uuid.Nil && id != a.User {
			continue
		}
		e, err := about(m.users[id])
		if err != nil {
			return r, err
		}
		m.announced = append(m.announced, e.Type)
		r.Seen, r.Users, r.Last = r.Seen+1, r.Users+1, id
	}
	return r, nil
}

func (m *memory) CountUsers(context.Context, uuid.UUID) (int, error) { return len(m.users), nil }

func (m *memory) ReadyEvents(context.Context, int) (int, error) { return 0, nil }

func (m *memory) Import(_ context.Context, accounts []NewAccount, dryRun bool) (created int, taken []int, err error) {
	for i, a := range accounts {
		if _, exists := m.users[a.User.ID]; exists {
			taken = append(taken, i)
			continue
		}
		if created++; !dryRun {
			m.users[a.User.ID] = a.User
		}
	}
	return created, taken, nil
}
