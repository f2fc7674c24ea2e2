package user

import (
	"context"
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// Export has all data that is stored about a user, except for the audit trail (GDPR Art. 15 and 20). It contains no secrets.
type Export struct {
	User              User
	PasswordChangedAt time.Time
	Sessions          []Session
	Networks          []LoginNetwork
	Tokens            []IssuedToken
	Factors           Factors
	Challenges        []IssuedChallenge
}

// IssuedChallenge is a login that needed a second factor, without the challenge itself.
type IssuedChallenge struct {
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// LoginNetwork is a network from which a user has logged in.
type LoginNetwork struct {
	Network      netip.Prefix `json:"network"`
	FirstLoginAt time.Time    `json:"first_login_at"`
	LastLoginAt  time.Time    `json:"last_login_at"`
}

// IssuedToken is a one-time token that was sent to a user, without its value.
type IssuedToken struct {
	Purpose   Purpose   `json:"purpose"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Export returns all data that is stored about a user, except for the audit trail. Errors: NotFound, Unavailable.
func (s *Service) Export(ctx context.Context, id uuid.UUID) (Export, error) {
	return s.store.Export(ctx, id)
}

// ExportAudit returns a page of the audit entries by or about a user, newest first. The page begins after the entry with the id before;
// the nil UUID means the first page. In entries that the user has not caused, ExportAudit removes the address and the request id, which
// are personal data of others.
//
// Errors: Unavailable.
func (s *Service) ExportAudit(ctx context.Context, id, before uuid.UUID, limit int) (AuditPage, error) {
	if before == uuid.Nil {
		before = uuid.Max
	}
	page, err := s.store.AuditEventsOf(ctx, id, before, limit)
	for i, e := range page.Events {
		if e.ActorID == nil || *e.ActorID != id {
			page.Events[i].IP, page.Events[i].RequestID = "", ""
		}
	}
	return page, err
}
