//go:build alerts

package observability_test

import (
	"crypto/rand"
	"encoding/base64"
)

// burns returns all alerts of one objective.
func burns(alert string) []string {
	return []string{alert + "/critical/1h", alert + "/critical/6h", alert + "/warning/1d", alert + "/warning/3d"}
}

const (
	errorBurn   = "UserServiceErrorBudgetBurn"
	latencyBurn = "UserServiceLatencyBudgetBurn"
)

var situations = []*situation{
	{name: "ordinary", fault: "none, ordinary use", users: 1, used: ordinary},
	{
		name: "broker-away", fault: "RabbitMQ is unavailable", users: 1, used: ordinary, strike: shutBroker,
		must: []string{"UserServiceOutboxStuck/critical", "UserServiceBrokerAway/warning"},
	},
	{
		name: "relay-held", fault: "a session holds the relay's lock", users: 1, used: ordinary, strike: holdRelay,
		must: []string{"UserServiceOutboxStuck/critical"},
	},
	{
		name: "event-parked", fault: "RabbitMQ refuses an event", users: 1, used: ordinary, strike: parkEvent,
		must: []string{"UserServiceEventsParked/critical"},
	},
	{
		name: "no-queue", fault: "no queue accepts a reset", users: 1, used: ordinary, strike: resetUnrouted,
		must: []string{"UserServiceTokensUnroutable/critical"},
	},
	{
		name: "guessing", fault: "passwords are guessed", users: 1, used: ordinary, strike: guess,
		must: []string{"UserServicePasswordGuessing/warning"},
	},
	{
		name: "flood", fault: "one address sends too many logins", users: 1, used: ordinary, env: []string{"RATE_LIMIT_PER_MINUTE=200"},
		strike: flood, must: []string{"UserServiceRequestsRateLimited/warning"}, may: []string{"UserServicePasswordGuessing"},
	},
	{
		name: "tokens-reused", fault: "used refresh tokens are presented", users: 1, used: ordinary, strike: reuse,
		must: []string{"UserServiceRefreshTokensReused/warning"},
	},
	{
		name: "factors-removed", fault: "an administrator removes second factors", users: 1, used: ordinary,
		env:    []string{"DATA_KEY=" + base64.StdEncoding.EncodeToString([]byte(rand.Text() + rand.Text())[:32])},
		strike: removeFactors, must: []string{"UserServiceFactorsRemoved/warning"},
	},
	{
		name: "cleanup", fault: "the cleanup cannot delete rows", users: 1, used: ordinary, strike: refuseDeletion,
		must: []string{"UserServiceCleanupFails/warning"},
	},
	{
		name: "login-storm", fault: "more logins than can be hashed", users: 1, used: ordinary, strike: storm,
		env:  []string{"ARGON2_MEMORY_KIB=19456", "ARGON2_ITERATIONS=2", "PASSWORD_HASH_CONCURRENCY=1", "PASSWORD_HASH_QUEUE=2"},
		must: []string{"UserServiceHashingSaturated/warning"}, may: []string{
			errorBurn, latencyBurn, "UserServiceLoginsFail",
			"UserServicePasswordGuessing",
		},
	},
	{
		name: "table-locked", fault: "a session locks a table", users: 6, used: read,
		env: []string{"DATABASE_MAX_CONNS=4"}, strike: lockTable,
		must: []string{"UserServiceDatabasePoolExhausted/warning"}, may: []string{errorBurn, latencyBurn},
	},
	{
		name: "old-schema", fault: "the migration has not run", users: 1, used: ordinary, strike: migrateLate,
		must: []string{"UserServiceNotReady/critical", "UserServiceSchemaBehind/critical"},
		may:  []string{errorBurn, "UserServiceSchemaBehind"},
	},
	{
		name: "killed", fault: "the only pod is killed", users: 1, used: ordinary, strike: kill,
		must: []string{"UserServiceDown/critical"},
	},
	{
		name: "one-of-two", fault: "one of two pods is killed", more: 1, users: 1, used: ordinary, strike: kill,
		must: []string{"UserServicePodUnreachable/warning"},
	},
	{
		name: "crashing", fault: "the pod is killed each 6 s", users: 1, used: ordinary, strike: killAgain,
		must: []string{"UserServiceCrashLoop/warning"}, may: []string{"UserServiceNotReady"},
	},
	{
		name: "old-key", fault: "the signing key is 340 days old", users: 1, used: ordinary, files: true, strike: ageKey,
		must: []string{"UserServiceKeyNearItsEnd/warning"},
	},
	{
		name: "bad-secret", fault: "a Secret's new value is too short", users: 1, used: ordinary, files: true, strike: spoilSecret,
		must: []string{"UserServiceSecretRejected/warning"},
	},
	{
		name: "old-certificate", fault: "the CA of PostgreSQL expires in 3 days", users: 1, used: ordinary, strike: ageCertificate,
		must: []string{"UserServiceCertificateNearExpiry/warning"},
	},
	{
		name: "database-away", fault: "PostgreSQL is unavailable", users: 2, used: ordinary, strike: shutDatabase,
		must: []string{"UserServiceNotReady/critical"},
		may:  []string{errorBurn, latencyBurn, "UserServiceLoginsFail", "UserServiceDatabasePoolExhausted"},
	},
	{
		name: "one-without-database", fault: "one of two pods does not reach PostgreSQL", more: 1, users: 1, used: ordinary,
		strike: shutDatabaseOfLast, must: []string{"UserServiceNotReady/warning"},
	},
	{
		name: "row-locked", fault: "0.45 % of the requests wait for a lock", users: 8, used: readAndSometimesChange, strike: lockRow,
		must: burns(errorBurn)[2:],
	},
	{
		name: "slow-database", fault: "PostgreSQL answers 0.15 s late", users: 2, used: read, strike: slowDatabase,
		must: burns(latencyBurn), set: []string{"prometheusRule.thresholds.latencySeconds=0.1"},
	},
}
