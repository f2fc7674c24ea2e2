package config

import (
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// files are the parameters of a connection string that name files.
var files = []string{"sslrootcert", "sslcert", "sslkey", "passfile", "servicefile"}

// libpqOnly are parameters of libpq that the driver would send to the server, which refuses them.
var libpqOnly = []string{
	"gssencmode", "gssdelegation", "gsslib", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval",
	"sslcompression", "sslcrl", "sslcrldir", "sslcertmode", "requirepeer", "hostaddr", "load_balance_hosts", "fallback_application_name",
	"replication", "ssl_min_protocol_version", "ssl_max_protocol_version",
}

// databaseProblem returns what is wrong with a connection string of libpq, a URL or pairs of keyword=value, or "" if the driver can
// connect by it. It shows no part of the string but names of parameters: the driver's own error may show the password.
func databaseProblem(dsn string) string {
	const notURL = "is not a PostgreSQL URL"
	if !strings.ContainsAny(dsn, ":=") { // the driver would take the empty string too
		return notURL
	}
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		if name := unreadable(dsn); name != "" {
			return "names a file in " + name + " that can't be read"
		}
		return notURL
	}
	for name := range cfg.ConnConfig.RuntimeParams {
		if slices.Contains(libpqOnly, name) {
			return "has the parameter " + name + ", which only libpq knows; leave it out"
		}
	}
	// A user may have an @. The name of a database has it where a slash of the password ended the host too early.
	if strings.Contains(dsn, "://") && strings.ContainsAny(cfg.ConnConfig.Database, "@/:") {
		return "has a database with one of @ / : in it: write special characters of the password percent-encoded"
	}
	hosts := []string{cfg.ConnConfig.Host}
	for _, fallback := range cfg.ConnConfig.Fallbacks {
		hosts = append(hosts, fallback.Host)
	}
	for _, host := range hosts {
		switch {
		case strings.HasPrefix(host, "/"): // the directory of a socket
		case strings.Contains(host, "@"):
			return "has an @ in its host: write an @ of the password as %40"
		case !isHost(host) || host == "":
			return "has a host that is not a host name or an IP address: write special characters of the password percent-encoded"
		}
	}
	return ""
}

// unreadable returns the name of the first parameter whose file can't be read; "" if there is none.
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
	_, err := os.ReadFile(file) //nolint:gosec // the operator names it
	return err == nil
}
