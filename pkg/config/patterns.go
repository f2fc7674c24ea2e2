package config

// The chart checks texts with patterns, because its templates can't call the check methods. A pattern is a regular expression (RE2) that
// matches every valid text. Rules that depend on other variables are in the templates of the chart.

const (
	// localOrigin is an origin for which http is allowed, without its scheme.
	localOrigin = `(([-a-z0-9]+\.)*localhost|127(\.[0-9]+){3}|\[::1\])(:[0-9]+)?`
	// authority is the host of a URL, with or without a port, and without a user.
	authority = `[^/?#@: ][^/?#@ ]*`
	// webOrigin is an entry of WEBAUTHN_ORIGINS. Its host is a domain in lower case, as WEBAUTHN_RP_ID is.
	webOrigin = `(https://[-a-z0-9.]+|http://([-a-z0-9]+\.)*localhost)(:[0-9]+)?`
	// label is a part of a domain.
	label = `[a-z0-9]([-a-z0-9]*[a-z0-9])?`
	// workloadEntry is an entry of WORKLOAD_ROLES. Commas separate entries, so a sub can't contain a comma.
	workloadEntry = `(` + serviceAccountForm + `|[!-+\--~]*:[!-+\--~]*)=` + workloadRoleForm + `(\+` + workloadRoleForm + `)*`
)

// patterns are the patterns of variables by name. A variable without a pattern may have any text.
var patterns = map[string]string{
	"PWNED_PASSWORDS_URL": `^(https://` + authority + `|http://` + localOrigin + `)(/[^?#]*[^/?#])?/range/$`,
	"WEBAUTHN_RP_ID":      `^(` + label + `\.)*[a-z]([-a-z0-9]*[a-z0-9])?$`,
	"WEBAUTHN_ORIGINS":    `^[ ,]*` + webOrigin + `( *,[ ,]*` + webOrigin + `)*[ ,]*$`,
	"WORKLOAD_ISSUER":     `^https://` + authority + `(/[^?#]*)?$`,
	"WORKLOAD_JWKS_URL":   `^https://` + authority + `([/?][^#]*)?$`,
	"WORKLOAD_ROLES":      `^ *` + workloadEntry + `( *, *` + workloadEntry + `)* *$`,
}
