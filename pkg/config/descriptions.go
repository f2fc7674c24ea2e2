package config

// description describes a variable for the documentation and for messages.
type description struct {
	about   string // The purpose, as a sentence.
	accepts string // The valid values. Empty: derived from the type and the bounds.
	example string // A value for .env.example and for messages. Empty: the default.
}

// descriptions are the descriptions of all variables. A random secret has no example, because people would use it.
var descriptions = map[string]description{
	"DATABASE_URL": {
		about:   "URL of the database.",
		accepts: "a PostgreSQL URL such as postgres://user:password@host:5432/database",
		example: "postgres://user_service:user_service@localhost:5432/user_service?sslmode=disable",
	},
	"DATABASE_MAX_CONNS": {
		about: "Maximum number of connections of one replica, in addition to one for readiness. With 3 or more, a quarter of " +
			"them (at least one) is reserved for logins. 0 means four for each CPU, but at least 4 and at most 64.",
		accepts: "0 or a whole number from 2 to 10000",
		example: "20",
	},
	"MIGRATION_DATABASE_URL": {
		about: "URL of the same database for migrations. It must bypass poolers, and its role must be allowed to change the " +
			"schema. Default: DATABASE_URL.",
		accepts: "a PostgreSQL URL such as postgres://owner:password@host:5432/database",
	},

	"RABBITMQ_HOST": {
		about:   "Host of the broker.",
		accepts: "a host name or an IP address",
		example: "localhost",
	},
	"RABBITMQ_PORT": {
		about:   "AMQP port of the broker.",
		example: "5672",
	},
	"RABBITMQ_USER": {
		about:   "User name of the service at the broker.",
		accepts: "a user name",
		example: "guest",
	},
	"RABBITMQ_PASS": {
		about:   "Password of the service at the broker.",
		accepts: "the password of RABBITMQ_USER",
		example: "guest",
	},
	"RABBITMQ_VHOST": {
		about:   "Virtual host at the broker.",
		accepts: "a virtual host",
	},
	"RABBITMQ_TLS": {
		about: "Connect with TLS, and verify the broker's certificate.",
	},
	"RABBITMQ_CA_FILE": {
		about: "Certificate authorities for the broker's certificate, instead of the system's. The service reads this file, " +
			"RABBITMQ_CERT_FILE and RABBITMQ_KEY_FILE each time it connects.",
		accepts: "the path of a file with certificates in PEM",
		example: "/etc/rabbitmq/ca.crt",
	},
	"RABBITMQ_CERT_FILE": {
		about:   "Client certificate for the broker.",
		accepts: "the path of a file with a certificate in PEM",
		example: "/etc/rabbitmq/tls.crt",
	},
	"RABBITMQ_KEY_FILE": {
		about:   "Private key of RABBITMQ_CERT_FILE.",
		accepts: "the path of a file with a private key in PEM",
		example: "/etc/rabbitmq/tls.key",
	},

	"JWT_SECRET": {
		about:   "Secret that signs refresh tokens, and access tokens if JWT_PRIVATE_KEY is not set.",
		accepts: "a random text of at least 32 bytes, as made by: openssl rand -base64 48",
	},
	"JWT_ACCEPTED_SECRETS": {
		about: "Further secrets whose tokens are accepted: the previous and the next JWT_SECRET, so that a rotation rejects " +
			"no token.",
		accepts: "random texts of at least 32 bytes, separated by commas",
	},
	"JWT_PRIVATE_KEY": {
		about: "Key that signs access tokens, by EdDSA, ES256 or RS256. /.well-known/jwks.json publishes its public key.",
		accepts: "a private key in PEM: Ed25519, P-256 or RSA (minimum 2048 bits), as made by: openssl genpkey -algorithm " +
			"ed25519; \\n may replace line breaks",
	},
	"JWT_ACCEPTED_KEYS": {
		about: "Further keys whose access tokens are accepted, and which are published: the previous and the next " +
			"JWT_PRIVATE_KEY.",
		accepts: "public or private keys in PEM, one after the other, of the same kinds as JWT_PRIVATE_KEY",
	},
	"DATA_KEY": {
		about: "Key that encrypts the secrets of second factors. Empty: users can't have second factors. Without the key that encrypted " +
			"them, users with a second factor can't log in.",
		accepts: "the base64 of 32 random bytes, as made by: openssl rand -base64 32",
	},
	"DATA_ACCEPTED_KEYS": {
		about: "Further keys that decrypt: the previous and the next DATA_KEY. The service encrypts the secrets again with DATA_KEY, in " +
			"batches.",
		accepts: "keys like DATA_KEY, separated by commas",
	},
	"WEBAUTHN_RP_ID": {
		about: "Domain of the pages on which users register and use passkeys. It can't change later, because passkeys belong to it. " +
			"Empty: " +
			"passkeys are off.",
		accepts: "a domain in lower case",
		example: "example.com",
	},
	"WEBAUTHN_ORIGINS": {
		about:   "Origins of these pages.",
		accepts: "https origins at WEBAUTHN_RP_ID or its subdomains, separated by commas",
		example: "https://example.com,https://accounts.example.com",
	},
	"JWT_ISSUER": {
		about: "Claim iss of access tokens. If it is a URL, /.well-known/oauth-authorization-server describes the service for clients " +
			"of OAuth.",
		accepts: "a name or a URL",
	},
	"JWT_AUDIENCE": {
		about:   "Claim aud of access tokens.",
		accepts: "a name or a URL",
	},
	"JWT_CLIENT_ID": {
		about:   "Claim client_id of access tokens (RFC 9068).",
		accepts: "a name or a URL",
	},
	"ACCESS_TOKEN_TTL": {
		about: "Lifetime of an access token.",
	},
	"REFRESH_TOKEN_IDLE_TTL": {
		about: "A session ends after this time without a refresh.",
	},
	"REFRESH_TOKEN_TTL": {
		about: "A session ends after this time, with or without refreshes.",
	},

	"WORKLOAD_ISSUER": {
		about: "Claim iss of the tokens with which other services call this one, such as the issuer of a Kubernetes cluster. Empty: only " +
			"users call.",
		accepts: "an https URL, and not JWT_ISSUER",
		example: "https://kubernetes.default.svc.cluster.local",
	},
	"WORKLOAD_AUDIENCE": {
		about:   "Claim aud that the tokens of services must have.",
		accepts: "a name or a URL",
	},
	"WORKLOAD_JWKS_URL": {
		about: "URL of the keys of WORKLOAD_ISSUER. Default: the jwks_uri in the issuer's /.well-known/openid-configuration. The service " +
			"fetches the keys every 5 minutes.",
		accepts: "an https URL",
		example: "https://kubernetes.default.svc/openid/v1/jwks",
	},
	"WORKLOAD_CA_FILE": {
		about:   "Certificate authorities for fetching the keys, instead of the system's. The service reads the file at each fetch.",
		accepts: "the path of a file with certificates in PEM",
		example: "/var/run/secrets/workload/ca.crt",
	},
	"WORKLOAD_TOKEN_FILE": {
		about: "Bearer token for fetching the keys, read at each fetch. The service sends it only to the origins of WORKLOAD_ISSUER and " +
			"WORKLOAD_JWKS_URL.",
		accepts: "the path of a file with a token",
		example: "/var/run/secrets/workload/token",
	},
	"WORKLOAD_ROLES": {
		about: "Roles of the services that call. A key is a ServiceAccount of Kubernetes, or the whole claim sub if it contains a colon. " +
			"A service without roles gets 403.",
		accepts: "entries namespace/serviceaccount=role+role or sub=role+role, separated by commas",
		example: "shop/orders=reader,spiffe://example.org/billing=reader+auditor",
	},

	"PASSWORD_MIN_LENGTH": {
		about: "Minimum number of characters of a password.",
	},
	"PWNED_PASSWORDS_URL": {
		about: "URL of a range API in the form of Have I Been Pwned. The service refuses a new password that this API knows. It sends " +
			"only " +
			"the first five digits of the password's hash. If the API fails, the password is accepted. Empty: passwords are not looked up.",
		accepts: "an https URL that ends in /range/",
		example: "https://api.pwnedpasswords.com/range/",
	},
	"PASSWORD_HASH_CONCURRENCY": {
		about:   "Maximum number of concurrent password hashes. 0 means one for each CPU.",
		example: "2",
	},
	"PASSWORD_HASH_QUEUE": {
		about: "Maximum number of passwords that wait to be hashed; further requests get 503. 0 means 32 for each concurrent" +
			" hash.",
		example: "16",
	},
	"ARGON2_MEMORY_KIB": {
		about: "Memory of one argon2id hash, in KiB. " +
			"The product of this value and ARGON2_ITERATIONS must be at most 524288.",
	},
	"ARGON2_ITERATIONS": {
		about: "Passes of argon2id over the memory of a hash.",
	},
	"ARGON2_PARALLELISM": {
		about: "Lanes of argon2id.",
	},

	"REGISTRATION_ENABLED": {
		about: "Allow anonymous callers to register.",
	},
	"VERIFY_EMAIL_AT_REGISTRATION": {
		about: "At registration, send an event with a token that verifies the email.",
	},
	"LOGIN_MAX_FAILURES": {
		about: "Consecutive failed logins with one email from one network (IPv4 /24, IPv6 /56) before a backoff of 1 to 15 " +
			"minutes begins. 0 turns the backoff off. Behind a proxy, set TRUSTED_PROXIES, or all clients count as one " +
			"network.",
	},
	"AUDIT_RETENTION": {
		about: "Retention time of the audit trail.",
	},

	"HTTP_ADDR": {
		about:   "Address of the API.",
		accepts: "an address, host:port or :port",
	},
	"METRICS_ADDR": {
		about:   "Address of /metrics, /healthz and /readyz.",
		accepts: "an address, host:port or :port",
	},
	"TRUSTED_PROXIES": {
		about: "Proxies in front of the service. Only their X-Forwarded-For (the client's address) and traceparent (the " +
			"trace) are trusted. Without proxies, the client's address is the peer's. List no client: it could forge its address.",
		accepts: "IP addresses and CIDRs, separated by commas",
		example: "10.0.0.0/8,fd00::/8",
	},
	"RATE_LIMIT_PER_MINUTE": {
		about: "Requests per minute without a token from one client address (IPv6: one /64) to costly endpoints such as " +
			"/login, at each replica. Requests for a verification mail count too. An IPv4 /24 and an IPv6 /56 may send 4 times" +
			" as many, an IPv6 /48 16 times. Writing requests with a token have 20 times this limit, for all accounts at an" +
			" address together. 0 turns both limits off. Behind a proxy, set TRUSTED_PROXIES, or all clients share one limit.",
	},
	"ACCOUNT_RATE_LIMIT_PER_MINUTE": {
		about: "Writing requests per minute of one account, at each replica. A request that hashes a password counts as ten." +
			" 0 turns the limit off. The limit of the account's address also applies: 20 times RATE_LIMIT_PER_MINUTE.",
	},
	"DOCS_ENABLED": {
		about: "Serve /openapi.json and /docs.",
	},
	"PPROF_ENABLED": {
		about: "Serve /debug/pprof/ on METRICS_ADDR.",
	},
	"SHUTDOWN_DELAY": {
		about: "Time after SIGTERM in which the service is not ready but still serves, so that load balancers stop sending requests.",
	},
	"SHUTDOWN_TIMEOUT": {
		about: "Maximum time of the whole shutdown, including SHUTDOWN_DELAY.",
	},

	"SMTP_URL": {
		about: "Mail server of the command mail. STARTTLS is required unless the URL ends in ?tls=opportunistic or ?tls=none. " +
			"file:///folder writes the mails to files, for development.",
		accepts: "a URL such as smtp://user:password@smtp.example.com:587 or smtps://user:password@smtp.example.com:465",
	},
	"MAIL_FROM": {
		about:   "Sender of the mails.",
		accepts: "an address with or without a name",
		example: "Example Shop <no-reply@example.com>",
	},
	"MAIL_LINKS_BASE_URL": {
		about: "URL of the application. The links in mails begin with this URL. Its pages /verify-email, /reset-password and " +
			"/invitation send the token to the service.",
		accepts: "an https URL without a slash at the end; http for localhost",
		example: "https://shop.example.com",
	},
	"MAIL_PRODUCT_NAME": {
		about:   "Name of the application in the mails. Default: the host of MAIL_LINKS_BASE_URL.",
		accepts: "a name",
		example: "Example Shop",
	},
	"MAIL_TEMPLATES_DIR": {
		about:   "Directory with templates that replace those of the program, file by file.",
		accepts: "the path of a directory",
		example: "/etc/user-service/templates",
	},

	"LOG_LEVEL": {
		about: "Least severe level that is logged.",
	},
}
