package user

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"user-service/pkg/access"
)

// IdempotencyTTL is the time for which the response to a request with an idempotency key is stored.
const IdempotencyTTL = 24 * time.Hour

// Idempotency identifies a request that a client may send again (draft-ietf-httpapi-idempotency-key-header).
type Idempotency struct {
	Key  IdempotencyHash
	MACs [][]byte // HMACs of the body: with the secret, then with each accepted secret
}

// IdempotencyHash is the SHA-256 of an endpoint, a caller and an idempotency key.
type IdempotencyHash [sha256.Size]byte

// Completed is a stored request that has created an account.
type Completed struct {
	BodyMAC []byte
	User    User // as the response showed it
}

// ErrCompleted means that another replica has completed the same request since it was looked up.
var ErrCompleted = errors.New("the request was completed meanwhile")

// Idempotent returns the identity of a request. All anonymous callers share one key space.
func (s *Service) Idempotent(endpoint string, caller access.Caller, key string, body []byte) *Idempotency {
	var id []byte
	for _, part := range []string{endpoint, caller.UserID.String(), caller.Workload, key} {
		id = append(binary.AppendUvarint(id, uint64(len(part))), part...)
	}
	return &Idempotency{Key: sha256.Sum256(id), MACs: s.tokens.BodyMACs(body)}
}

// once calls create, or returns the stored user if the request was completed before. It refuses a request while the same request runs in
// this replica, so that repeated requests do not compute hashes. The transaction of create refuses a request that runs in another replica.
// If r is nil, once only calls create.
//
// Errors: KeyInUse, KeyReused, Unavailable, the errors of create.
func (s *Service) once(ctx context.Context, r *Idempotency, create func() (User, error)) (User, error) {
	if r == nil {
		return create()
	}
	if _, runs := s.running.LoadOrStore(r.Key, nil); runs {
		return User{}, ErrKeyInUse()
	}
	defer s.running.Delete(r.Key)
	u, err := s.repeat(ctx, r)
	if !isNotFound(err) {
		return u, err
	}
	if u, err = create(); errors.Is(err, ErrCompleted) {
		return s.repeat(ctx, r)
	}
	return u, err
}

// repeat returns the user of a completed request. Errors: NotFound, KeyReused, Unavailable.
func (s *Service) repeat(ctx context.Context, r *Idempotency) (User, error) {
	done, err := s.store.Completed(ctx, r.Key)
	if err != nil {
		return User{}, err
	}
	if !slices.ContainsFunc(r.MACs, func(mac []byte) bool { return hmac.Equal(mac, done.BodyMAC) }) {
		return User{}, errKeyReused()
	}
	return done.User, nil
}

// ErrKeyInUse returns the error for a request that is sent again while it still runs.
func ErrKeyInUse() error {
	return &Error{
		Code: KeyInUse, Detail: "The first request with this Idempotency-Key is still running; send it again shortly.",
		RetryAfter: time.Second,
	}
}

func errKeyReused() error {
	return &Error{
		Code: KeyReused, Detail: "Another body was sent with this Idempotency-Key; use a new key for a new request.",
		Fields: []FieldError{{Code: InvalidValue, Detail: "is not the body of the first request with this Idempotency-Key"}},
	}
}
