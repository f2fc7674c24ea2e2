package config

import (
	"cmp"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// files are the parameters of a connection string with paths of files.
var files = []string{"sslrootcert", "sslcert", "sslkey", "passfile", "servicefile"}

// libpqOnly are parameters that only libpq supports. The driver would send these parameters to the server, which would reject them.
var libpqOnly = []string{
	"gssencmode", "gssdelegation", "gsslib", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval",
	"sslcompression", "sslcrl", "sslcrldir", "sslcertmode", "requirepeer", "hostaddr", "load_balance_hosts", "fallback_application_name",
	"replication", "ssl_min_protocol_version", "ssl_max_protocol_version",
}

// databaseProblem returns the problem of a connection string, or "". The string is a URL or pairs of the form keyword=value. The problem
// may contain names of parameters, but not the error of the driver, which may contain the password.
func databaseProblem(dsn string) string {
	const notURL = "is not a PostgreSQL URL"
	if !strings.ContainsAny(dsn, ":=") { // the driver accepts the empty string
		return notURL
	}
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return cmp.Or(parseProblem(dsn, err), notURL)
	}
	if hasAtSignInParameters(dsn) {
		return "has an @ in its parameters; percent-encode special characters of the password, such as ? as %3F and @ as %40"
	}
	for name := range cfg.ConnConfig.RuntimeParams {
		if slices.Contains(libpqOnly, name) {
			return "has the parameter " + name + ", which only libpq supports; remove it"
		}
	}
	// A user name may contain an @. However, if the name of the database contains an @, the password contains an unescaped slash. The
	// driver then takes the rest of the password for a part of the name.
	if strings.Contains(dsn, "://") && strings.ContainsAny(cfg.ConnConfig.Database, "@/:") {
		return "has a database name with @ / or : in it; percent-encode special characters of the password"
	}
	hosts := []string{cfg.ConnConfig.Host}
	for _, fallback := range cfg.ConnConfig.Fallbacks {
		hosts = append(hosts, fallback.Host)
	}
	for _, host := range hosts {
		switch {
		case strings.HasPrefix(host, "/"): // the directory of a socket
		case strings.Contains(host, "@"):
			return "has an @ in its host; write an @ of the password as %40"
		case !isHost(host) || host == "":
			return "has a host that is not a host name or an IP address; percent-encode special characters of the password"
		}
	}
	return ""
}

// checked are the parameters whose values the driver checks. A problem names no other parameters, because their names could be parts of a
// password.
var checked = append([]string{
	"sslmode", "sslnegotiation", "sslcertmode", "sslpassword", "connect_timeout", "target_session_attrs", "min_protocol_version",
	"max_protocol_version", "channel_binding", "require_auth", "service", "pool_max_conns", "pool_min_conns", "pool_min_idle_conns",
	"pool_max_conn_lifetime", "pool_max_conn_idle_time", "pool_max_conn_lifetime_jitter", "pool_health_check_period", "pool_ping_timeout",
	"statement_cache_capacity", "description_cache_capacity", "default_query_exec_mode",
}, files...)

// parseProblem returns the problem of a connection string that the driver refuses with err, or "".
func parseProblem(dsn string, err error) string {
	if name := unreadable(dsn); name != "" {
		return "has a file in " + name + " that can't be read"
	}
	if strings.HasSuffix(err.Error(), "invalid port") {
		return "has a port that is not a number from 1 to 65535; percent-encode a : in the password as %3A"
	}
	for _, name := range checked {
		rest, found := without(dsn, name)
		if !found || !parses(rest) {
			continue
		}
		if slices.Contains(files, name) {
			return "has a file in " + name + " that holds no certificate or key of the expected form"
		}
		return "has a value of the parameter " + name + " that can't be used"
	}
	if rest, found := without(dsn, "sslcert", "sslkey"); found && parses(rest) {
		return "has files in sslcert and sslkey that are not a certificate and its key"
	}
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		return "has a character that must be percent-encoded, such as % in the password (%25)"
	}
	return ""
}

func parses(dsn string) bool {
	_, err := pgxpool.ParseConfig(dsn)
	return err == nil
}

// without removes the named parameters from a connection string. It reports whether the string contained any of them.
func without(dsn string, names ...string) (rest string, found bool) {
	before, query, separator := "", dsn, " "
	if strings.Contains(dsn, "://") {
		at := strings.LastIndexByte(dsn, '?') + 1
		before, query, separator = dsn[:at], dsn[at:], "&"
		if at == 0 {
			return dsn, false
		}
	}
	pairs := strings.Split(query, separator)
	kept := slices.DeleteFunc(slices.Clone(pairs), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.Contains(names, strings.TrimSpace(name))
	})
	return before + strings.Join(kept, separator), len(kept) < len(pairs)
}

// hasAtSignInParameters reports whether a parameter of a URL contains an @. In such a URL, the password probably contains an unescaped
// question mark, so that the driver takes the rest of the password for parameters. The parameters user, password and application_name are
// exempt, because their values may contain an @.
func hasAtSignInParameters(dsn string) bool {
	_, query, _ := strings.Cut(dsn, "?")
	if !strings.Contains(dsn, "://") {
		return false
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if strings.Contains(pair, "@") && !slices.Contains([]string{"user", "password", "application_name"}, name) {
			return true
		}
	}
	return false
}

// unreadable returns the name of the first parameter whose file can't be read, or "".
func unreadable(dsn string) string {
	for _, name := range files {
		if file := fileOf(dsn, name); file != "" && !isReadable(file) {
			return name
		}
	}
	return ""
}

// File returns the file that a parameter of the URL names, such as sslcert, or "".
func (d Database) File(parameter string) string { return fileOf(d.URL.Reveal(), parameter) }

// fileOf returns the file that a parameter names, or "". The driver reads missing parameters from the environment, such as PGSSLROOTCERT.
func fileOf(dsn, name string) string {
	values := url.Values{}
	if u, err := url.Parse(dsn); err == nil && u.Scheme != "" {
		values = u.Query()
	} else {
		for pair := range strings.FieldsSeq(dsn) {
			name, value, _ := strings.Cut(pair, "=")
			values.Set(name, strings.Trim(value, "'"))
		}
	}
	file := cmp.Or(values.Get(name), os.Getenv("PG"+strings.ToUpper(name)))
	if file == "system" { // the value of sslrootcert for the system's CAs
		return ""
	}
	return file
}

func isReadable(file string) bool {
	_, err := os.ReadFile(file) //nolint:gosec // the operator sets the path
	return err == nil
}
