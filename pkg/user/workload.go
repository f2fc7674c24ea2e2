package user

import (
	"context"

	"user-service/pkg/access"
)

// Workload is a service that calls the API with a token of another issuer, and has no account. The configuration names its roles; the
// database has their permissions.
type Workload struct {
	Subject string // the sub of the token
	Roles   []string
}

// Workloads verifies the tokens of workloads.
type Workloads interface {
	// Issued reports whether a token names the issuer of workloads as iss. It does not verify the token.
	Issued(token string) bool
	// Verify returns the workload of a valid token. Errors: InvalidAccessToken, Unavailable (the issuer's keys can't be fetched).
	Verify(ctx context.Context, token string) (Workload, error)
}

// WorkloadActor returns the name of a workload in the audit trail and in X-User-Id.
func WorkloadActor(sub string) string { return "workload:" + sub }

// IsWorkload reports whether a token names the issuer of workloads. It does not verify the token.
func (s *Service) IsWorkload(token string) bool {
	return s.cfg.Workloads != nil && s.cfg.Workloads.Issued(token)
}

// VerifyWorkload returns the workload of a token. Errors: InvalidAccessToken, Unavailable.
func (s *Service) VerifyWorkload(ctx context.Context, token string) (Workload, error) {
	return s.cfg.Workloads.Verify(ctx, token)
}

// IdentifyWorkload returns a workload as a caller. It reads the permissions of the roles in one query. So a change of a role takes effect
// immediately.
//
// Errors: Forbidden (the configuration gives the workload no roles), Unavailable.
func (s *Service) IdentifyWorkload(ctx context.Context, w Workload) (Identity, error) {
	if len(w.Roles) == 0 {
		return Identity{Caller: access.Caller{Workload: w.Subject}}, ErrForbidden()
	}
	caller, err := s.store.IdentifyWorkload(ctx, w.Subject, w.Roles)
	return Identity{Caller: caller}, err
}
