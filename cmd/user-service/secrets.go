package main

import (
	"context"

	"github.com/sethvargo/go-envconfig"

	"user-service/pkg/config"
	"user-service/pkg/token"
)

// secretChecks look closer at secrets than package config can.
func secretChecks() []config.Check {
	return []config.Check{
		{Name: "JWT_PRIVATE_KEY", Look: token.CheckPrivateKey},
		{Name: "JWT_ACCEPTED_KEYS", Look: token.CheckAcceptedKeys},
	}
}

// watchSecrets takes up secrets whose files have changed, until ctx ends.
func (s *service) watchSecrets(ctx context.Context) error {
	config.Watcher{
		Env: envconfig.OsLookuper(), Checks: secretChecks(), Log: s.log,
		Database: func(_ context.Context, d config.Database) error { return s.db.SetURL(d.URL.Reveal()) },
		RabbitMQ: func(_ context.Context, q config.RabbitMQ) error {
			password := q.Password.Reveal() // for the next connection; the one that stands needs none
			s.brokerPassword.Store(&password)
			return nil
		},
		Tokens: func(_ context.Context, t config.Tokens) error { return s.tokens.SetKeys(tokenKeys(t)) },
	}.Run(ctx, s.cfg)
	return nil
}

func tokenKeys(t config.Tokens) token.Keys {
	return token.Keys{
		Secret: t.Secret.Reveal(), AcceptedSecrets: t.Accepted(),
		PrivateKey: t.PrivateKey.Reveal(), AcceptedKeys: t.AcceptedKeys.Reveal(),
	}
}
