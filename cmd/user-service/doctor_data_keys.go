package main

import (
	"context"
	"fmt"
	"slices"

	"user-service/pkg/config"
	"user-service/pkg/factor"
	"user-service/pkg/postgres"
)

// checkDataKeys counts the secrets of second factors by the key that encrypts them.
func (d *doctor) checkDataKeys(ctx context.Context, cfg config.DataKeys, database config.Database) {
	keys, err := factor.NewKeys(cfg.Key.Reveal(), cfg.Accepted.Reveal())
	if err != nil {
		d.problem("data keys", err.Error(), "correct DATA_KEY or DATA_ACCEPTED_KEYS")
		return
	}
	counts, err := countSecrets(ctx, database)
	if err != nil {
		d.unknown("data keys", "the encrypted secrets are not known", "repair the database and its schema first")
		return
	}
	current, accepted, lost := 0, 0, 0
	for id, n := range counts {
		switch {
		case id == keys.CurrentID():
			current += n
		case slices.Contains(keys.OtherIDs(), id):
			accepted += n
		default:
			lost += n
		}
	}
	if keys.Enabled() {
		d.ok("data keys", fmt.Sprintf("DATA_KEY encrypts %d secrets, accepted keys encrypt %d", current, accepted))
	}
	if lost > 0 {
		d.problem("data keys", fmt.Sprintf("another key encrypts %d secrets, so their users cannot log in", lost),
			"add this key to DATA_ACCEPTED_KEYS; if it is lost, remove the factors of these users with user-service users remove-factor")
	}
}

// countSecrets returns the number of encrypted secrets by the id of their key.
func countSecrets(ctx context.Context, cfg config.Database) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	db, err := postgres.Open(ctx, postgres.Config{URL: cfg.URL.Reveal(), MaxConns: 2}, nil)
	if err != nil {
		return nil, err
	}
	defer closeDatabase(ctx, db)
	return db.SecretsByKey(ctx)
}
