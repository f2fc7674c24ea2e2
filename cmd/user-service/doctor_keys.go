package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"user-service/pkg/config"
	"user-service/pkg/postgres"
	"user-service/pkg/token"
)

// maxKeyAge is the age after which a signing key must be replaced. The alert UserServiceKeyNearItsEnd fires 30 days earlier.
const maxKeyAge = 365 * 24 * time.Hour

// checkKeys lists the keys of access tokens with their ages. The age of a key starts at its first use by the service.
func (d *doctor) checkKeys(ctx context.Context, cfg config.Tokens, database config.Database) {
	tokens, err := token.New(token.Config{Keys: tokenKeys(cfg)})
	if err != nil {
		d.problem("keys", err.Error(), "correct JWT_SECRET, JWT_PRIVATE_KEY or JWT_ACCEPTED_KEYS")
		return
	}
	keys := tokens.KeysInForce()
	slices.SortFunc(keys, func(a, b token.KeyInfo) int { return cmp.Compare(a.ID, b.ID) })
	since, err := firstUses(ctx, database, keys)
	for _, k := range keys {
		if err != nil {
			d.unknown("keys", describeKey(k)+"; its age is not known", "repair the database first")
			continue
		}
		d.checkKey(k, since[k.ID], time.Now())
	}
}

// firstUses returns when the service first used each key, by the id of the key.
func firstUses(ctx context.Context, cfg config.Database, keys []token.KeyInfo) (map[string]time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	db, err := postgres.Open(ctx, postgres.Config{URL: cfg.URL.Reveal(), MaxConns: 2}, nil)
	if err != nil {
		return nil, err
	}
	defer closeDatabase(ctx, db)
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.ID
	}
	return db.FindKeys(ctx, ids)
}

func describeKey(k token.KeyInfo) string {
	use := "accepted"
	if k.Signs {
		use = "signs"
	}
	return fmt.Sprintf("%s %s, %s", k.Algorithm, k.ID, use)
}

func (d *doctor) checkKey(k token.KeyInfo, since, now time.Time) {
	detail := describeKey(k)
	if since.IsZero() {
		d.ok("keys", detail+", not used by a running service yet")
		return
	}
	age := now.Sub(since)
	detail += fmt.Sprintf(", for %d days", int(age.Hours()/24))
	if k.Signs && age > maxKeyAge {
		d.problem("keys", detail, "replace the key as docs/security/rotation.md describes, so that no token is refused")
		return
	}
	d.ok("keys", detail)
}
