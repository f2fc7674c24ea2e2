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

// newWatcher returns what takes up secrets whose files have changed.
func (s *service) newWatcher() config.Watcher {
	return config.Watcher{
		Env: envconfig.OsLookuper(), Checks: secretChecks(), Log: s.log, OnRejected: s.metrics.SecretsRejected,
		Database: func(ctx context.Context, d config.Database) error { return s.db.SetURL(ctx, d.URL.Reveal()) },
		RabbitMQ: func(ctx context.Context, q config.RabbitMQ) error { return s.publisher.SetConfig(ctx, brokerConfig(q)) },
		Tokens:   func(_ context.Context, t config.Tokens) error { return s.tokens.SetKeys(tokenKeys(t)) },
	}
}

func tokenKeys(t config.Tokens) token.Keys {
	return token.Keys{
		Secret: t.Secret.Reveal(), AcceptedSecrets: t.Accepted(),
		PrivateKey: t.PrivateKey.Reveal(), AcceptedKeys: t.AcceptedKeys.Reveal(),
	}
}
