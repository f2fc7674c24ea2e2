package chart_test

import (
	"crypto/rand"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
)

// base is a file with valid values. The tests override some of them with invalid values.
const base = chart + "/ci/inline-secrets-values.yaml"

// workloadRest are the values of a workload without its namespace.
const workloadRest = "workloads[0].serviceAccount=orders,workloads[0].roles={reader}"

// oneWorkload are the values of a workload.
const oneWorkload = "workloads[0].namespace=shop," + workloadRest

// issued sets an issuer of workloads.
const issued = "config.WORKLOAD_ISSUER=https://x,"

// equalBytes is a data key whose bytes are all zero.
var equalBytes = base64.StdEncoding.EncodeToString(make([]byte, 32))

// randomKey returns a random data key, so that no file of the repository contains it.
func randomKey() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails
	return base64.StdEncoding.EncodeToString(random)
}

// anyServers are the values with which a NetworkPolicy allows any address for the database and the broker.
const anyServers = "networkPolicy.databaseTo[0].ipBlock.cidr=0.0.0.0/0,networkPolicy.rabbitmqTo[0].ipBlock.cidr=0.0.0.0/0,"

// refusals are values that the chart refuses. A line of the message starts with say; the rest of the line explains how to fix the
// problem.
var refusals = []struct{ name, set, say string }{
	// Two sources, or none.
	{"no database", "database.url=", "No database: set database.existingSecret"},
	{"two databases", "database.existingSecret=db-app", "database.url and database.existingSecret are both set: leave one"},
	{"no broker", "rabbitmq.password=", "No broker: set rabbitmq.existingSecret"},
	{"two brokers", "rabbitmq.existingSecret=mq", "rabbitmq.password and rabbitmq.existingSecret are both set: leave one"},
	{"a broker without host", "rabbitmq.host=", "rabbitmq.password is set: set rabbitmq.host"},
	{"two JWT secrets", "jwt.secret=" + randomSecret(), "jwt.secret and jwt.existingSecret are both set: leave one"},
	{"accepted secrets and a Secret", "jwt.acceptedSecrets=" + randomSecret(), "jwt.acceptedSecrets goes with jwt.secret: put"},
	{
		"a key's name without a Secret", "jwt.existingSecret=,jwt.secret=" + randomSecret() + ",jwt.keys.privateKey=key",
		"jwt.keys.privateKey and jwt.keys.acceptedKeys name keys of jwt.existingSecret, which is empty: set it",
	},
	{"a JWT secret without a cluster to keep it", "jwt.existingSecret=", "No cluster answers here"},
	{
		"two emails of an admin", "migration.enabled=true,admin.email=ada@example.com,admin.existingSecret=first",
		"admin.email and admin.existingSecret are both set: leave admin.email empty",
	},
	{"an admin without a migration", "admin.existingSecret=first", "admin.email and admin.existingSecret need the migration Job"},
	{"an admin's password without a cluster to keep it", "migration.enabled=true,admin.email=ada@example.com", "No cluster answers here"},
	{
		"quickstart with a database",
		"quickstart.enabled=true,quickstart.postgresql.password=x,quickstart.rabbitmq.password=x," +
			"rabbitmq.host=,rabbitmq.password=,rabbitmq.tls.mode=",
		"quickstart.enabled brings a database of its own: leave database.url",
	},
	{
		"quickstart with a broker",
		"quickstart.enabled=true,quickstart.postgresql.password=x,quickstart.rabbitmq.password=x,database.url=,rabbitmq.tls.mode=",
		"quickstart.enabled brings a broker of its own: leave rabbitmq.host",
	},

	// Workloads.
	{
		"a workload that is not a ServiceAccount", "workloads[0].namespace=Shop," + workloadRest,
		"workloads has Shop/orders, which is not a namespace",
	},
	{
		"a workload twice",
		"workloads[0].namespace=shop," + workloadRest + ",workloads[1].namespace=shop,workloads[1].serviceAccount=orders," +
			"workloads[1].roles={auditor}",
		"workloads has shop/orders twice: write all its roles into one entry",
	},
	{
		"a role that is not a name", "workloads[0].namespace=shop,workloads[0].serviceAccount=orders,workloads[0].roles={Reader}",
		`workloads has the role "Reader" of shop/orders, which is not a name of a role`,
	},
	{
		"two lists of workloads", "config.WORKLOAD_ROLES=shop/a=b,workloads[0].namespace=shop," + workloadRest,
		"workloads and config.WORKLOAD_ROLES are both set",
	},
	{
		"workloads without egress", anyServers + "networkPolicy.enabled=true,workloads[0].namespace=shop," + workloadRest,
		"networkPolicy.enabled and workloads need networkPolicy.apiServerTo: set where the API server is",
	},
	{
		"the cluster's issuer as the service's", "config.JWT_ISSUER=https://kubernetes.default.svc.cluster.local," + oneWorkload,
		"WORKLOAD_ISSUER is the same as JWT_ISSUER, and the issuer decides how a token is verified: set config.JWT_ISSUER",
	},
	{
		"another issuer as the service's", "config.JWT_ISSUER=https://a.example,config.WORKLOAD_ISSUER=https://a.example," + oneWorkload,
		"WORKLOAD_ISSUER is the same as JWT_ISSUER",
	},
	{
		"one issuer without workloads", "config.JWT_ISSUER=https://a.example,config.WORKLOAD_ISSUER=https://a.example",
		"WORKLOAD_ISSUER is the same as JWT_ISSUER",
	},
	{
		"an issuer without TLS", "config.WORKLOAD_ISSUER=http://x",
		"config.WORKLOAD_ISSUER is http://x: set it to an https URL, and not JWT_ISSUER",
	},
	{
		"keys without TLS", "config.WORKLOAD_ISSUER=https://x,config.WORKLOAD_JWKS_URL=http://x/keys",
		"config.WORKLOAD_JWKS_URL is http://x/keys: set it to an https URL",
	},
	{"roles without an issuer", "config.WORKLOAD_ROLES=a/b=c", "config.WORKLOAD_ROLES is set, and WORKLOAD_ISSUER is not: set"},
	{
		"roles in extraEnv without an issuer", "extraEnv[0].name=WORKLOAD_ROLES,extraEnv[0].value=a/b=c",
		"extraEnv: WORKLOAD_ROLES is set, and WORKLOAD_ISSUER is not: set",
	},
	{"a workload without a namespace", issued + "config.WORKLOAD_ROLES=b=c", "config.WORKLOAD_ROLES is b=c: set it to entries namespace/"},
	{"an entry without roles", issued + "config.WORKLOAD_ROLES=a/b=", "config.WORKLOAD_ROLES is a/b=: set it to entries namespace/"},
	{
		"a workload in two entries", issued + `config.WORKLOAD_ROLES=a/b=c\,system:serviceaccount:a:b=d`,
		"config.WORKLOAD_ROLES names a workload twice: write all its roles into one entry",
	},
	{
		"another token of the workloads", "config.WORKLOAD_TOKEN_FILE=/a/token," + oneWorkload,
		"config.WORKLOAD_TOKEN_FILE is set by the chart if",
	},
	{
		"other authorities of the workloads", "config.WORKLOAD_CA_FILE=/a/ca," + oneWorkload,
		"config.WORKLOAD_CA_FILE is set by the chart if",
	},
	{
		"an issuer in extraEnv", "extraEnv[0].name=WORKLOAD_ISSUER,extraEnv[0].value=https://x," + oneWorkload,
		"extraEnv has WORKLOAD_ISSUER, which is set by the chart: use config instead",
	},
	{
		"roles in extraEnv", "extraEnv[0].name=WORKLOAD_ROLES,extraEnv[0].value=a/b=c," + oneWorkload,
		"extraEnv has WORKLOAD_ROLES, which is set by the chart: use workloads instead",
	},
	{
		"a workload without roles", "workloads[0].namespace=shop,workloads[0].serviceAccount=orders",
		"at '/workloads/0': missing property 'roles'",
	},

	// Values with which the service would not start.
	{"a short JWT secret", "jwt.existingSecret=,jwt.secret=short", "jwt.secret has 5 characters and needs at least 32: use a random one"},
	{
		"a JWT secret of few characters", "jwt.existingSecret=,jwt.secret=" + strings.Repeat("a", 40),
		"jwt.secret has fewer than 8 different characters: use a random one",
	},
	{
		"a JWT secret that repeats", "jwt.existingSecret=,jwt.secret=" + strings.Repeat("0123456789", 4) + "012",
		"jwt.secret repeats a shorter text: use a random one",
	},
	{
		"a short accepted secret",
		"jwt.existingSecret=,jwt.secret=" + randomSecret() + `,jwt.acceptedSecrets=` + randomSecret() + `\,short`,
		"A secret of jwt.acceptedSecrets has 5 characters and needs",
	},
	{
		"a JWT secret that is a sequence", "jwt.existingSecret=,jwt.secret=abcdefghijklmnopqrstuvwxyz0123456789",
		"jwt.secret is a sequence of characters: use a random one",
	},
	{"a data key of another form", "dataKey.enabled=true,dataKey.key=abc", "dataKey.key is not the base64 of 32 bytes: use a random one"},
	{
		"a short data key", "dataKey.enabled=true,dataKey.key=" + base64.StdEncoding.EncodeToString([]byte("a short key")),
		"dataKey.key is not the base64 of 32 bytes",
	},
	{
		"a data key of equal bytes", "dataKey.enabled=true,dataKey.key=" + equalBytes,
		"dataKey.key has fewer than 8 different characters: use",
	},
	{
		"a data key that is a sequence",
		"dataKey.enabled=true,dataKey.key=" + base64.StdEncoding.EncodeToString([]byte("ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`a")),
		"dataKey.key is a sequence of characters: use",
	},
	{
		"a weak accepted data key",
		"dataKey.enabled=true,dataKey.key=" + randomKey() + ",dataKey.acceptedKeys=" + randomKey() + `\,` + equalBytes,
		"A key of dataKey.acceptedKeys has fewer than 8 different characters: use",
	},
	{
		"an accepted data key of another form", "dataKey.enabled=true,dataKey.key=" + randomKey() + ",dataKey.acceptedKeys=abc",
		"A key of dataKey.acceptedKeys is not the base64 of 32 bytes: use",
	},
	{"another database", "database.url=mysql://db/app", "database.url is not a PostgreSQL URL: write it as postgres://"},
	{"a variable of the chart", "config.DATABASE_URL=x", "config.DATABASE_URL is set by the chart: use database instead"},
	{"a file of the chart", "config.JWT_SECRET_FILE=x", "config.JWT_SECRET_FILE is set by the chart: use jwt instead"},
	{
		"a variable of the chart in extraEnv", "extraEnv[0].name=RABBITMQ_PASS,extraEnv[0].value=x",
		"extraEnv has RABBITMQ_PASS, which is set by the chart: use rabbitmq",
	},
	{"a variable twice", "extraEnv[0].name=LOG_LEVEL,extraEnv[0].value=x", "LOG_LEVEL is in config and in extraEnv: leave one"},
	{"a variable in lower case", "config.log_level=debug", "at '/config': additional properties 'log_level' not allowed"},
	{
		"a variable that is a list", "config.TRUSTED_PROXIES={a,b}",
		"at '/config/TRUSTED_PROXIES': got array, want null or boolean or number or string",
	},

	// Variables that the service does not know or would refuse.
	{"a misspelled variable", "config.LOGLEVEL=info", "config.LOGLEVEL is not a variable of the service: write LOG_LEVEL"},
	{"a variable with one letter less", "config.LOG_LEVL=info", "config.LOG_LEVL is not a variable of the service: write LOG_LEVEL"},
	{"a variable with another letter", "config.LOG_LEVAL=info", "config.LOG_LEVAL is not a variable of the service: write LOG_LEVEL"},
	{
		"a variable with an additional letter", "config.LOG_LEVELS=info",
		"config.LOG_LEVELS is not a variable of the service: write LOG_LEVEL",
	},
	{"an unknown variable", "config.FOO=1", "config.FOO is not a variable of the service: correct the name, or set"},
	{"an unknown level", "config.LOG_LEVEL=verbose", "config.LOG_LEVEL is verbose: set it to debug, info, warn or error"},
	{
		"a duration without a unit", "config.ACCESS_TOKEN_TTL=15",
		"config.ACCESS_TOKEN_TTL is 15: set it to a duration of at least 1s, such as 15m",
	},
	{"a short duration", "config.ACCESS_TOKEN_TTL=999ms", "config.ACCESS_TOKEN_TTL is 999ms: set it to a duration of at least 1s"},
	{"a small number", "config.PASSWORD_MIN_LENGTH=7", "config.PASSWORD_MIN_LENGTH is 7: set it to a whole number from 8 to 128"},
	{"a large number", "config.RATE_LIMIT_PER_MINUTE=1000001", "config.RATE_LIMIT_PER_MINUTE is 1000001: set it to a whole number from 0"},
	{"a fraction", "config.LOGIN_MAX_FAILURES=1.5", "config.LOGIN_MAX_FAILURES is 1.5: set it to a whole number"},
	{"a boolean in other words", "config.DOCS_ENABLED=yes", "config.DOCS_ENABLED is yes: set it to true or false"},
	{"an invalid network", "config.TRUSTED_PROXIES=10.0.0.0/33", "config.TRUSTED_PROXIES is 10.0.0.0/33: set it to IP addresses and CIDRs"},
	{
		"breached passwords by a URL without its end", "config.PWNED_PASSWORDS_URL=https://x/range",
		"config.PWNED_PASSWORDS_URL is https://x/range: set it to an https URL that ends in /range/",
	},
	{
		"breached passwords without TLS", "config.PWNED_PASSWORDS_URL=http://x/range/",
		"config.PWNED_PASSWORDS_URL is http://x/range/: set it to an https URL",
	},
	{
		"passkeys without origins", "config.WEBAUTHN_RP_ID=a.example",
		"WEBAUTHN_ORIGINS and WEBAUTHN_RP_ID must both be set, or neither: set config.WEBAUTHN_ORIGINS",
	},
	{
		"passkeys without a domain", "config.WEBAUTHN_ORIGINS=https://a.example",
		"WEBAUTHN_ORIGINS and WEBAUTHN_RP_ID must both be set, or neither: set config.WEBAUTHN_RP_ID",
	},
	{
		"passkeys of a URL", "config.WEBAUTHN_RP_ID=https://a.example,config.WEBAUTHN_ORIGINS=https://a.example",
		"config.WEBAUTHN_RP_ID is https://a.example: set it to a domain in lower case",
	},
	{
		"an origin with a path", "config.WEBAUTHN_RP_ID=a.example,config.WEBAUTHN_ORIGINS=https://a.example/",
		"config.WEBAUTHN_ORIGINS is https://a.example/: set it to https origins at WEBAUTHN_RP_ID",
	},
	{
		"an origin of another domain", `config.WEBAUTHN_RP_ID=a.example,config.WEBAUTHN_ORIGINS=https://a.example\,https://ba.example`,
		"WEBAUTHN_ORIGINS has an origin that is neither at WEBAUTHN_RP_ID nor at a subdomain of it, https://ba.example: use",
	},
	{
		"an invalid value in extraEnv", "extraEnv[0].name=AUDIT_RETENTION,extraEnv[0].value=1d",
		"extraEnv has AUDIT_RETENTION with the value 1d: set it to a duration of at least 1h",
	},

	// TLS and files.
	{"a mode in config", "config.PGSSLMODE=require", "config.PGSSLMODE is set by the chart: use database.tls.mode"},
	{"TLS of the broker in config", "config.RABBITMQ_TLS=true", "config.RABBITMQ_TLS is set by the chart: use rabbitmq.tls.mode"},
	{"an unknown mode", "database.tls.mode=on", "at '/database/tls/mode': value must be one of"},
	{"two modes", "database.tls.mode=verify-full", "database.url has sslmode, and database.tls.mode is set: leave one"},
	{
		"authorities without TLS", "rabbitmq.tls.mode=disable,rabbitmq.tls.caSecret=ca",
		"rabbitmq.tls.mode is disable, and a Secret of rabbitmq.tls is set: set the mode",
	},
	{
		"a certificate of the migration alone", "migration.certSecret=owner",
		"migration.certSecret is set, and database.tls.certSecret is empty",
	},
	{"two databases with a file", "secretFiles.DATABASE_URL=/vault/url", "secretFiles.DATABASE_URL and a Secret or value of database"},
	{"an unknown file", "secretFiles.DATA_BASE=/vault/url", "at '/secretFiles': additional properties 'DATA_BASE' not allowed"},

	// Pods that would be killed or not scale.
	{
		"a grace period shorter than the drain", "terminationGracePeriodSeconds=20",
		"terminationGracePeriodSeconds is 20, shorter than the shutdown of 30",
	},
	{
		"a shutdown without a unit", "config.SHUTDOWN_TIMEOUT=25",
		"config.SHUTDOWN_TIMEOUT is 25: set it to a duration of at least 1s, such as 25s",
	},
	{"as many hashes as the node has CPUs", "config.PASSWORD_HASH_CONCURRENCY=0", "config.PASSWORD_HASH_CONCURRENCY is 0"},
	{
		"a delay as long as the shutdown", "config.SHUTDOWN_DELAY=60s",
		"config.SHUTDOWN_DELAY is 60s, and the whole shutdown, config.SHUTDOWN_TIMEOUT, is 30s: lower the first",
	},
	{"more hashes than the memory holds", "config.PASSWORD_HASH_CONCURRENCY=20", "resources.limits.memory is 256Mi, and a pod needs 444Mi"},
	{"larger hashes than the memory holds", "config.ARGON2_MEMORY_KIB=131072", "resources.limits.memory is 256Mi, and a pod needs 320Mi"},
	{"a small memory limit", "resources.limits.memory=163Mi", "resources.limits.memory is 163Mi, and a pod needs 164Mi"},
	{
		"a Job that can't hash",
		"migration.enabled=true,admin.existingSecret=first,config.ARGON2_MEMORY_KIB=100000,resources.limits.memory=1Gi",
		"migration.resources.limits.memory is 128Mi, and the Job needs 162Mi",
	},
	{
		"a maximum below the minimum", "autoscaling.enabled=true,autoscaling.minReplicas=5,autoscaling.maxReplicas=3",
		"autoscaling.minReplicas is 5, more than maxReplicas, 3: change one",
	},
	{
		"autoscaling without a request", "autoscaling.enabled=true,resources.requests.cpu=null",
		"autoscaling looks at the CPU in percent of the request: set resources.requests.cpu",
	},

	// Policies that would allow all traffic or no traffic.
	{
		"a database anywhere", "networkPolicy.enabled=true,networkPolicy.rabbitmqTo[0].ipBlock.cidr=192.0.2.0/24",
		"networkPolicy.enabled needs networkPolicy.databaseTo: set where the database is",
	},
	{
		"a broker anywhere", "networkPolicy.enabled=true,networkPolicy.databaseTo[0].ipBlock.cidr=192.0.2.0/24",
		"networkPolicy.enabled needs networkPolicy.rabbitmqTo: set where the broker is",
	},
	{
		"metrics without a reader", policies + "serviceMonitor.enabled=true",
		"networkPolicy.metricsFrom is empty, so Prometheus could not read",
	},
	{
		"traces to anywhere", policies + "config.OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318",
		"networkPolicy.enabled and an OTLP endpoint need networkPolicy.otlpTo: set where traces are sent",
	},
	{
		"traces to anywhere by extraEnv",
		policies + "extraEnv[0].name=OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,extraEnv[0].value=http://collector:4318",
		"networkPolicy.enabled and an OTLP endpoint need networkPolicy.otlpTo",
	},
	{
		"breached passwords without a way to their API", policies + "config.PWNED_PASSWORDS_URL=https://api.pwnedpasswords.com/range/",
		"networkPolicy.enabled and config.PWNED_PASSWORDS_URL need networkPolicy.extraEgress: allow the port of that URL",
	},
	{
		"an empty peer", policies + "networkPolicy.dnsTo[0].podSelector=null",
		"at '/networkPolicy/dnsTo/0/podSelector': got null, want object",
	},
	{
		"a misspelled peer", policies + "networkPolicy.otlpTo[0].podselector.matchLabels.a=b",
		"at '/networkPolicy/otlpTo/0': additional properties 'podselector' not allowed",
	},

	// A mailer that could not send a mail.
	{"mails without a sender", mailer + "mailer.from=", "mailer.enabled needs mailer.from: set"},
	{"mails without an application", mailer + "mailer.linksBaseURL=", "mailer.enabled needs mailer.linksBaseURL: set"},
	{"no mail server", mailer + "mailer.smtp.existingSecret=", "mailer.enabled needs a mail server: set mailer.smtp.existingSecret"},
	{
		"two mail servers", mailer + "mailer.smtp.url=smtp://smtp.example.com",
		"mailer.smtp.url and mailer.smtp.existingSecret are both set: leave one",
	},
	{
		"a mailer with the service's user", mailer + "mailer.rabbitmq.existingSecret=",
		"mailer.enabled needs a user of its own at the broker: set mailer.rabbitmq.existingSecret",
	},
	{
		"a password of the mailer without a user", mailer + "mailer.rabbitmq.existingSecret=,mailer.rabbitmq.password=x",
		"mailer.enabled needs a user of its own at the broker",
	},
	{
		"two passwords of the mailer", mailer + "mailer.rabbitmq.password=x",
		"mailer.rabbitmq.password and mailer.rabbitmq.existingSecret are both set: leave one",
	},
	{
		"quickstart with a user for the mailer",
		"quickstart.enabled=true,quickstart.postgresql.password=x,quickstart.rabbitmq.password=x,database.url=,rabbitmq.host=," +
			"rabbitmq.password=,rabbitmq.tls.mode=," + mailer,
		"quickstart.enabled has one user at its broker: leave mailer.rabbitmq and the files",
	},
	{"a variable of the mailer", "config.MAIL_FROM=a@example.com", "config.MAIL_FROM is set by the chart: use mailer.from instead"},
	{
		"a variable of the mailer twice", mailer + "mailer.extraEnv[0].name=LOG_LEVEL,mailer.extraEnv[0].value=x",
		"LOG_LEVEL is in config and in mailer.extraEnv: leave one",
	},
	{
		"a mail server anywhere", policies + strings.TrimSuffix(mailer, ","),
		"networkPolicy.enabled and mailer.enabled need networkPolicy.smtpTo: set where the mail server is",
	},
	{
		"traces of the mailer to anywhere",
		policies + mailer + "networkPolicy.smtpTo[0].ipBlock.cidr=192.0.2.0/24,mailer.config.OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318",
		"networkPolicy.enabled and an OTLP endpoint need networkPolicy.otlpTo",
	},
	{"a sender without an address", mailer + "mailer.from=shop", "mailer.from is \"shop\": write an email address"},
	{
		"a base URL with a slash", mailer + "mailer.linksBaseURL=https://shop.example.com/",
		"mailer.linksBaseURL is \"https://shop.example.com/\": write an https URL",
	},
	{
		"links that a network can read", mailer + "mailer.linksBaseURL=http://shop.example.com",
		"mailer.linksBaseURL is \"http://shop.example.com\": write an https URL",
	},
	{
		"a mail server without a scheme", mailer + "mailer.smtp.existingSecret=,mailer.smtp.url=smtp.example.com",
		"mailer.smtp.url is not the URL of a mail server: write it as",
	},
	{
		"a mail server in a Secret and in a file", mailer + "mailer.secretFiles.SMTP_URL=/vault/smtp",
		"mailer.secretFiles.SMTP_URL and a Secret or value of mailer.smtp are both set: leave one",
	},
	{
		"a password of the mailer in a Secret and in a file", mailer + "mailer.secretFiles.RABBITMQ_PASS=/vault/mq",
		"mailer.secretFiles.RABBITMQ_PASS and a Secret or value of mailer.rabbitmq are both set: leave one",
	},
	{
		"two databases of the mailer", mailer + "mailer.secretFiles.DATABASE_URL=/vault/db,mailer.database.existingSecret=role",
		"mailer.database.existingSecret and mailer.secretFiles.DATABASE_URL are both set: leave one",
	},
	{
		"a certificate of the mailer alone", mailer + "mailer.database.certSecret=role",
		"mailer.database.certSecret is set, and database.tls.certSecret is empty",
	},
	{
		"a misspelled variable of the mailer", mailer + "mailer.config.LOGLEVEL=info",
		"mailer.config.LOGLEVEL is not a variable of the service: write LOG_LEVEL",
	},
	{"an invalid value of the mailer", mailer + "mailer.config.LOG_LEVEL=verbose", "mailer.config.LOG_LEVEL is verbose: set it to debug"},
	{
		"a mailer that is killed before its end", mailer + "mailer.config.SHUTDOWN_TIMEOUT=50s",
		"terminationGracePeriodSeconds is 40, shorter than the shutdown of 50 (mailer.config.SHUTDOWN_TIMEOUT)",
	},
	{
		"CPU of the mailer with an unknown unit", mailer + "mailer.resources.requests.cpu=20mm",
		"mailer.resources.requests.cpu is 20mm: write a quantity",
	},

	// Routes without a destination.
	{"an Ingress without a host", proxies + "ingress.enabled=true", "ingress.enabled needs ingress.hosts: set"},
	{
		"public metrics", proxies + "ingress.enabled=true,ingress.hosts={a.example.com},ingress.path=/metrics",
		"ingress.path is that of the metrics",
	},
	{
		"public metrics of one host", proxies + "ingress.enabled=true,ingress.hosts[0].host=a,ingress.hosts[0].paths[0].path=/metrics",
		"ingress.path is that of the metrics",
	},
	{
		"an Ingress with the address of the proxy for all", "ingress.enabled=true,ingress.hosts={a.example.com}",
		"config.TRUSTED_PROXIES is empty, so all clients would share the address, and the rate limit, of the proxy: set",
	},
	{
		"an HTTPRoute with the address of the proxy for all", "httpRoute.enabled=true,httpRoute.parentRefs[0].name=a",
		"config.TRUSTED_PROXIES is empty",
	},
	{
		"a host with a scheme", proxies + "ingress.enabled=true,ingress.hosts={https://a.example.com}",
		"ingress.hosts has \"https://a.example.com\"",
	},
	{"an HTTPRoute without a Gateway", proxies + "httpRoute.enabled=true", "httpRoute.enabled needs httpRoute.parentRefs: set"},
	{
		"an HTTPRoute of the metrics", proxies + "httpRoute.enabled=true,httpRoute.parentRefs[0].name=a,httpRoute.path=/metrics",
		"httpRoute.path is that of the metrics",
	},
	{
		"an Ingress of one path only", "ingress.enabled=true,ingress.hosts={a.example.com},ingress.pathType=Exact",
		"at '/ingress/pathType': value must be one of 'Prefix', 'ImplementationSpecific'",
	},

	// Invalid values.
	{"a misspelled value", "serviceMonitr.enabled=true", "at '': additional properties 'serviceMonitr' not allowed"},
	{"a misspelled member", "image.repo=x", "at '/image': additional properties 'repo' not allowed"},
	{"an invalid number", "replicaCount=two", "at '/replicaCount': got string, want integer"},
	{"a negative number of pods", "replicaCount=-1", "at '/replicaCount': minimum: got -1, want 0"},
	{"an invalid boolean", "autoscaling.enabled=yes", "at '/autoscaling/enabled': got string, want boolean"},
	{
		"an unknown pull policy", "image.pullPolicy=Sometimes",
		"at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'",
	},
	{
		"an unknown type of Service", "service.type=Internal",
		"at '/service/type': value must be one of 'ClusterIP', 'NodePort', 'LoadBalancer'",
	},
	{"an invalid tag", "image.tag=a:b", "image.tag is \"a:b\": use letters, digits"},
	{"an invalid digest", "image.digest=sha256:abc", "image.digest is \"sha256:abc\": write sha256, a colon"},
	{
		"a repository with a tag", "image.repository=ghcr.io/user-service/user-service:1",
		"image.repository is \"ghcr.io/user-service/user-service:1\": write it without tag and digest",
	},
	{"memory with an unknown unit", "resources.limits.memory=256MB", "resources.limits.memory is 256MB: write a quantity, such as 256Mi"},
	{"CPU with an unknown unit", "resources.requests.cpu=100mm", "resources.requests.cpu is 100mm: write a quantity, such as 100m"},
	{"an invalid port", "service.port=70000", "at '/service/port': maximum: got 70,000, want 65,535"},
	{"a name in capitals", "fullnameOverride=Users", "fullnameOverride is \"Users\": use at most 40 lower-case letters"},
	{"a name with a dot", "nameOverride=my.app", "nameOverride is \"my.app\": use at most 40 lower-case letters"},
	{"a Secret with an underscore", "otlpHeaders.existingSecret=My_Secret", "otlpHeaders.existingSecret is \"My_Secret\": use lower-case"},
	{"a broker's host with a port", "rabbitmq.host=mq:5671", "rabbitmq.host is \"mq:5671\": write a host name or an IP address, and set"},
	{"a port that is a name", "rabbitmq.port=amqps", "rabbitmq.port is \"amqps\": write a number"},
	{"a port of the nodes without nodes", "service.nodePort=30080", "service.nodePort needs service.type NodePort or LoadBalancer"},
	{
		"a headless load balancer", "service.clusterIP=None,service.type=LoadBalancer",
		"service.clusterIP is None, which needs service.type ClusterIP",
	},
	{
		"an invalid percentage", "podDisruptionBudget.minAvailable=half",
		"podDisruptionBudget.minAvailable is \"half\": write a number of pods",
	},
	{
		"a severity of an unknown alert", "prometheusRule.severities.UserServiceAway=critical",
		"prometheusRule.severities has UserServiceAway, which is not an alert of the chart: write one of UserServiceAutoscalerAtMaximum",
	},
	{
		"an unknown alert that is disabled", "prometheusRule.disabledAlerts={UserServiceAway}",
		"prometheusRule.disabledAlerts has UserServiceAway, which is not an alert of the chart",
	},
	{"two monitors", "podMonitor.enabled=true,serviceMonitor.enabled=true", "serviceMonitor.enabled and podMonitor.enabled are both set"},
	{
		"a latency between the boundaries", "prometheusRule.thresholds.latencySeconds=0.3",
		"prometheusRule.thresholds.latencySeconds is 0.3: set it to one of 0.005, ",
	},
	{
		"a threshold that is a text", "prometheusRule.thresholds.keyAgeDays=x",
		"prometheusRule.thresholds.keyAgeDays is x: set it to a number",
	},
	{
		"an objective of everything", "prometheusRule.thresholds.availabilityPercent=100",
		"prometheusRule.thresholds.availabilityPercent is 100: set it to a number from 50 to below 100",
	},
}

// mailer are values with which the chart renders the mailer, in addition to the base.
const mailer = "mailer.enabled=true,mailer.from=shop@example.com,mailer.linksBaseURL=https://shop.example.com," +
	"mailer.smtp.existingSecret=smtp,mailer.rabbitmq.existingSecret=mailer,"

// proxies are the values that routes require in addition to the base.
const proxies = "config.TRUSTED_PROXIES=10.0.0.0/8,"

// policies are the values that NetworkPolicies require in addition to the base.
const policies = "networkPolicy.enabled=true,networkPolicy.databaseTo[0].ipBlock.cidr=0.0.0.0/0," +
	"networkPolicy.rabbitmqTo[0].ipBlock.cidr=0.0.0.0/0,"

// All problems are reported together, so that a user can fix them in one step.
func TestAllProblemsAreReported(t *testing.T) {
	t.Parallel()
	_, message, err := try(nil, "helm", "template", "accounts", chart, "--set", "networkPolicy.enabled=true,serviceMonitor.enabled=true,"+
		"config.DATA_KEY=x,config.SHUTDOWN_TIMEOUT=25,config.PASSWORD_HASH_CONCURRENCY=0,"+
		"config.LOGLEVEL=info,ingress.enabled=true,admin.email=ada,migration.enabled=false,service.nodePort=30080")
	var got []string
	for _, line := range complaints(message) {
		got = append(got, strings.Fields(line)[0]+" "+strings.Fields(line)[1])
	}
	want := []string{
		"admin.email and", "No database:", "No broker:", "No cluster", "No cluster", "admin.email is", "config.DATA_KEY is",
		"config.LOGLEVEL is", "config.SHUTDOWN_TIMEOUT is", "config.PASSWORD_HASH_CONCURRENCY is", "service.nodePort needs",
		"networkPolicy.enabled needs", "networkPolicy.enabled needs", "networkPolicy.metricsFrom is", "ingress.enabled needs",
		"config.TRUSTED_PROXIES is",
	}
	if err == nil || !slices.Equal(got, want) {
		t.Errorf("the problems begin with\n%q, want\n%q, in\n%s", got, want, message)
	}
}

// --set can't write an empty list.
func TestDNSToAnywhereIsRefused(t *testing.T) {
	t.Parallel()
	_, message, err := try(nil, "helm", "template", "accounts", chart, "--values", base, "--set", strings.TrimSuffix(policies, ","),
		"--set-json", "networkPolicy.dnsTo=[]")
	if err == nil ||
		!strings.Contains(message, "networkPolicy.dnsTo is empty, which would be any address: set where the cluster's DNS is") {
		t.Errorf("an empty dnsTo is not refused: %v %s", err, message)
	}
}

// The chart accepts a wide setting if the user sets it explicitly.
func TestExplicitWideSettingsAreAccepted(t *testing.T) {
	t.Parallel()
	for _, set := range []string{
		strings.TrimSuffix(policies, ","),
		policies + "config.OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318",
		policies + "config.OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318,config.OTEL_SDK_DISABLED=true",
		"resources.limits.memory=164Mi",
		"config.OTEL_SERVICE_NAME=users,config.HTTPS_PROXY=http://proxy:3128,config.GODEBUG=x,config.TZ=UTC,config.LOG_LEVEL=null",
		"config.ACCESS_TOKEN_TTL=1h2m3.5s,config.LOG_LEVEL=INFO,config.TRUSTED_PROXIES=::1\\, " +
			"10.0.0.1\\,fd00::/8,config.ARGON2_MEMORY_KIB=19456",
		"config.PWNED_PASSWORDS_URL=http://localhost:8000/range/",
		`config.WEBAUTHN_RP_ID=a.example,config.WEBAUTHN_ORIGINS=https://a.example:8443\, https://b.a.example`,
		`config.WORKLOAD_ISSUER=https://x,config.WORKLOAD_TOKEN_FILE=/a/token,config.WORKLOAD_ROLES=a/b=c+d\,spiffe://x/y=z`,
		"config.JWT_ISSUER=https://a.example,config.WORKLOAD_AUDIENCE=a," + issued + oneWorkload,
		"extraEnv[0].name=WORKLOAD_ROLES,extraEnv[0].value=$(ROLES),config.WORKLOAD_ISSUER=https://x",
		"config.WEBAUTHN_RP_ID=a.example,envFrom[0].configMapRef.name=a",
		"dataKey.enabled=true,dataKey.key=" + randomKey() + ",dataKey.acceptedKeys=" + randomKey() + `\,` + randomKey(),
		"rabbitmq.host=fd00::1", "rabbitmq.port=5673", "service.type=NodePort,service.nodePort=30080", "service.type=LoadBalancer",
		"extraEnv[0].name=TRUSTED_PROXIES,extraEnv[0].value=10.0.0.0/8,ingress.enabled=true,ingress.hosts={a.example.com}",
	} {
		run(t, nil, "helm", "template", "accounts", chart, "--values", base, "--set", set)
	}
}

func TestInvalidValuesAreRefusedWithOneLineOfAdvice(t *testing.T) {
	t.Parallel()
	for _, refusal := range refusals {
		t.Run(refusal.name, func(t *testing.T) {
			t.Parallel()
			out, message, err := try(nil, "helm", "template", "accounts", chart, "--values", base, "--set", refusal.set)
			if err == nil {
				t.Fatalf("the chart renders %d bytes, want a refusal", len(out))
			}
			lines := complaints(message)
			if len(lines) != 1 || !strings.HasPrefix(lines[0], refusal.say) {
				t.Errorf("the problem should begin with\n%s\nbut is\n%s\nin\n%s", refusal.say, strings.Join(lines, "\n"), message)
			}
		})
	}
}

// An older cluster would ignore preStop.sleep without a message, so the chart refuses such a cluster. But the chart renders if Helm does
// not know the cluster's version. Without a cluster, Helm 3 from go install does not know a version.
func TestAnOldClusterIsRefused(t *testing.T) {
	t.Parallel()
	for _, helm := range []string{"helm", "helm3"} {
		for version, refused := range map[string]bool{"1.29.14": true, "1.30.0": false, "1.33.1-gke.100": false} {
			_, message, err := try(nil, helm, "template", "accounts", chart, "--values", base, "--kube-version", version)
			if (err != nil) != refused || refused && !strings.Contains(message, "This cluster is Kubernetes v1.29.14") {
				t.Errorf("%s on %s: %v %s", helm, version, err, message)
			}
		}
	}
}

// complaints removes Helm's own text around the messages.
func complaints(message string) []string {
	var lines []string
	for line := range strings.Lines(message) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "- ")
		switch {
		case line == "", line == "user-service:", strings.HasPrefix(line, "Error: "), strings.HasPrefix(line, "Use --debug"),
			strings.HasPrefix(line, "level="): // warnings about null
		default:
			lines = append(lines, line)
		}
	}
	return lines
}
