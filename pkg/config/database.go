package config

import (
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// files are the parameters of a connection string with paths of files.
var files = []string{"sslrootcert", "sslcert", "sslkey", "passfile", "servicefile"}

// libpqOnly are parameters of libpq that the driver would send to the server, which rejects them.
var libpqOnly = []string{
	"gssencmode", "gssdelegation", "gsslib", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval",
	"sslcompression", "sslcrl", "sslcrldir", "sslcertmode", "requirepeer", "hostaddr", "load_balance_hosts", "fallback_application_name",
	"replication", "ssl_min_protocol_version", "ssl_max_protocol_version",
}

// databaseProblem returns the problem of a connection string, or "". The string is a URL or pairs keyword=value. The problem contains only
// names of parameters: the driver's own error may contain the password.
func databaseProblem(dsn string) string {
	const notURL = "is not a PostgreSQL URL"
	if !strings.ContainsAny(dsn, ":=") { // the driver accepts the empty string
		return notURL
	}
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		if name := unreadable(dsn); name != "" {
			return "has a file in " + name + " that can't be read"
		}
		return notURL
	}
	for name := range cfg.ConnConfig.RuntimeParams {
		if slices.Contains(libpqOnly, name) {
			return "has the parameter " + name + ", which only libpq supports; remove it"
		}
	}
	// A user name may contain an @. In the name of a database it means that a slash in the password ended the host too early.
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

// unreadable returns the first parameter whose file can't be read, or "".
func unreadable(dsn string) string {
	values := url.Values{}
	if u, err := url.Parse(dsn); err == nil && u.Scheme != "" {
		values = u.Query()
	} else {
		for pair := range strings.FieldsSeq(dsn) {
			name, value, _ := strings.Cut(pair, "=")
			values.Set(name, strings.Trim(value, "'"))
		}
	}
	for _, name := range files {
		if file := values.Get(name); file != "" && file != "system" && !isReadable(file) {
			return name
		}
	}
	return ""
}

func isReadable(file string) bool {
	_, err := os.ReadFile(file) //nolint:gosec // the operator sets the path
	return err == nil
}
