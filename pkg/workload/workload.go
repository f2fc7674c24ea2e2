// Package workload verifies the tokens of callers that are services. The tokens are signed by another issuer, such as the API server of a
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

// Config configures a Verifier.
type Config struct {
	Issuer    string              // The iss of accepted tokens, an https URL.
	Audience  string              // The aud of accepted tokens.
	JWKSURL   string              // The https URL of the issuer's keys. Empty: discovered (OpenID Connect Discovery 1.0).
	CAFile    string              // A PEM file of the certificate authorities that the issuer's server uses. Empty: the system's.
	TokenFile string              // A file with the bearer token for fetching the keys. Empty: none.
	Roles     map[string][]string // The names of roles by sub.
	Log       *slog.Logger        // Gets failed fetches of the keys. nil: discarded.
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

// Run fetches the issuer's keys immediately and then every refreshInterval, until ctx ends. After a failure, the next fetch follows after
// unknownKeyPause.
func (v *Verifier) Run(ctx context.Context) { v.keys.run(ctx) }

// Issued implements user.Workloads.
func (v *Verifier) Issued(token string) bool { return issuerOf(token) == v.cfg.Issuer }

// Verify implements user.Workloads. It follows RFC 8725: the key determines the algorithm, and the token must have iss, aud, exp and sub.
//
// For an unknown key, Verify fetches the keys again, at most once in unknownKeyPause, and waits at most unknownKeyWait. It never waits for
// a known key.
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
			Code:   user.InvalidAccessToken,
			Detail: "The token of the workload is invalid or has expired; get a new one from its issuer.", Err: err,
		}
	}
	return user.Workload{Subject: c.Subject, Roles: v.cfg.Roles[c.Subject]}, nil
}
