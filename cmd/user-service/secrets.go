package main

import (
	"context"
	"time"

	"github.com/sethvargo/go-envconfig"

	"user-service/pkg/config"
	"user-service/pkg/mail"
	"user-service/pkg/token"
)

// secretChecks validate the form of keys and URLs, for package config.
func secretChecks() []config.Check {
	return []config.Check{
		{Name: "JWT_PRIVATE_KEY", Validate: token.CheckPrivateKey},
		{Name: "JWT_ACCEPTED_KEYS", Validate: token.CheckAcceptedKeys},
		{Name: "SMTP_URL", Validate: mail.CheckURL},
	}
}

// newWatcher returns a watcher that applies new secrets from files.
func (s *service) newWatcher(env envconfig.Lookuper, interval time.Duration) *config.Watcher {
	handlers := config.Handlers{
		Database: func(ctx context.Context, d config.Database) error { return s.db.SetURL(ctx, d.URL.Reveal()) },
		RabbitMQ: func(ctx context.Context, q config.RabbitMQ) error { return s.publisher.SetBroker(ctx, brokerOf(q)) },
		Tokens:   func(_ context.Context, t config.Tokens) error { return s.tokens.SetKeys(tokenKeys(t)) },
		DataKeys: func(_ context.Context, d config.DataKeys) error {
			return s.dataKeys.Set(d.Key.Reveal(), d.Accepted.Reveal())
		},
	}
	return config.NewWatcher(env, handlers, config.WatcherConfig{
		Checks: secretChecks(), Interval: interval, Log: s.log, OnRejected: s.metrics.SecretsRejected,
	})
}

func tokenKeys(t config.Tokens) token.Keys {
	return token.Keys{
		Secret: t.Secret.Reveal(), AcceptedSecrets: t.Accepted(),
		PrivateKey: t.PrivateKey.Reveal(), AcceptedKeys: t.AcceptedKeys.Reveal(),
	}
}
