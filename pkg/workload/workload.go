// Package workload verifies the tokens of callers that are services. Another issuer has signed them, such as the API server of a
// Kubernetes cluster.
package workload

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"user-service/pkg/user"
)

// Config are the settings of a Verifier.
type Config struct {
	Issuer    string              // The iss of the tokens, an https URL.
	Audience  string              // The aud that a token must have.
	JWKSURL   string              // An https URL of the keys. Empty: discovered (OpenID Connect Discovery 1.0).
	CAFile    string              // Certificate authorities of the issuer in PEM. Empty: the system's.
	TokenFile string              // A token for fetching the keys. Empty: none.
	Roles     map[string][]string // The roles by sub.
	Log       *slog.Logger        // Of fetches of the keys. nil: discarded.
	Observer  Observer            // nil: none.
}

// Observer counts the fetches of the issuer's keys. Its methods must not block.
type Observer interface {
	KeysFetched(err error)
}

type noopObserver struct{}

func (noopObserver) KeysFetched(error) {}

// Verifier verifies the tokens of one issuer. It is safe for concurrent use. It implements user.Workloads.
type Verifier struct {
	cfg    Config
	keys   *keys
	parser *jwt.Parser
}

// New returns a Verifier. Run fetches the keys of the issuer.
func New(cfg Config) *Verifier {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Observer == nil {
		cfg.Observer = noopObserver{}
	}
	return &Verifier{cfg: cfg, keys: newKeys(cfg), parser: newParser(cfg, time.Now)}
}

// Run fetches the keys of the issuer again and again, until ctx ends.
func (v *Verifier) Run(ctx context.Context) { v.keys.run(ctx) }

// Issued implements user.Workloads.
func (v *Verifier) Issued(token string) bool { return issuerOf(token) == v.cfg.Issuer }

// Verify implements user.Workloads. It follows RFC 8725: the key determines the algorithm, and the token must have iss, aud, exp and sub.
//
// An unknown key is fetched within the time of ctx, but at most once in unknownKeyPause. Verify never waits for a known key.
func (v *Verifier) Verify(ctx context.Context, token string) (user.Workload, error) {
	var c claims
	_, err := v.parser.ParseWithClaims(token, &c, func(tok *jwt.Token) (any, error) { return v.keys.find(ctx, tok) })
	switch {
	case errors.Is(err, errNoKeys):
		return user.Workload{}, &user.Error{
			Code: user.Unavailable, Detail: "The keys of the token's issuer can't be fetched at this moment; try again shortly.",
			RetryAfter: unknownKeyPause, Err: err,
		}
	case err != nil:
		return user.Workload{}, &user.Error{
			Code: user.InvalidAccessToken, Detail: "The token of the workload is invalid or has expired; get a new one from its issuer.", Err: err,
		}
	}
	return user.Workload{Subject: c.Subject, Roles: v.cfg.Roles[c.Subject]}, nil
}
