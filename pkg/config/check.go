package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/net/idna"
)

// The check methods validate rules in addition to types and bounds. If Load has already refused a variable, its field has the zero value.

// maxWorkKiB is the maximum product of memory and iterations of a new hash, in KiB. A hash with a larger product would take longer than a
// request may take. It equals password.MaxWorkKiB.
const maxWorkKiB = 512 << 10

// minLaneKiB is the minimum memory of argon2 for each lane, in KiB (RFC 9106 section 3.1).
const minLaneKiB = 8

// maxProductName is the maximum length of the product's name in bytes, so that the name fits into the subjects of mails.
const maxProductName = 60

func (d *Database) check(found findings) {
	for name, url := range map[string]Secret{"DATABASE_URL": d.URL, "MIGRATION_DATABASE_URL": d.MigrationURL} {
		found.require(!sendsValuesInText(url.Reveal()), name, "has default_query_exec_mode=simple_protocol, which sends personal data "+
			"in the text of queries, and PostgreSQL logs this text with errors; use exec instead")
	}
	problem := databaseProblem(d.URL.Reveal())
	found.require(problem == "", "DATABASE_URL", problem)
	if d.MigrationURL != "" {
		problem := databaseProblem(d.MigrationURL.Reveal())
		found.require(problem == "", "MIGRATION_DATABASE_URL", problem)
	}
	found.require(d.MaxConns != 1, "DATABASE_MAX_CONNS", "is 1, and the relay of events needs another one")
}

func (q *RabbitMQ) check(found findings) {
	found.require(isHost(q.Host), "RABBITMQ_HOST", "is not a host name or an IP address")
	files := map[string]string{"RABBITMQ_CA_FILE": q.CAFile, "RABBITMQ_CERT_FILE": q.CertFile, "RABBITMQ_KEY_FILE": q.KeyFile}
	for name, file := range files {
		found.require(file == "" || q.TLS, name, "is set, and RABBITMQ_TLS is false")
		found.require(file == "" || isReadable(file), name, "can't be read")
	}
	found.require((q.CertFile == "") == (q.KeyFile == ""), "RABBITMQ_KEY_FILE", "and RABBITMQ_CERT_FILE must both be set, or neither")
}

func (t *Tokens) check(found findings) {
	weak := weakness(t.Secret.Reveal())
	found.require(weak == "", "JWT_SECRET", weak)
	for _, secret := range t.Accepted() {
		weak := weakness(secret)
		found.require(weak == "", "JWT_ACCEPTED_SECRETS", "has a secret that "+weak)
	}
	found.require(t.RefreshTTL == 0 || t.RefreshIdleTTL <= t.RefreshTTL, "REFRESH_TOKEN_IDLE_TTL", "is longer than REFRESH_TOKEN_TTL")
}

func (d *DataKeys) check(found findings) {
	if key := d.Key.Reveal(); key != "" {
		weak := dataKeyWeakness(key)
		found.require(weak == "", "DATA_KEY", weak)
	}
	for entry := range strings.SplitSeq(d.Accepted.Reveal(), ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			weak := dataKeyWeakness(entry)
			found.require(weak == "", "DATA_ACCEPTED_KEYS", "has a key that "+weak)
			found.require(d.Key != "", "DATA_ACCEPTED_KEYS", "is set, and DATA_KEY is not")
		}
	}
}

func (w *WebAuthn) check(found findings) {
	found.require(w.RPID == "" || isDomain(w.RPID), "WEBAUTHN_RP_ID", "is not a domain in lower case")
	found.require((w.RPID == "") == (len(w.List()) == 0), "WEBAUTHN_ORIGINS", "and WEBAUTHN_RP_ID must both be set, or neither")
	for _, origin := range w.List() {
		u, err := url.Parse(origin)
		ok := err == nil && isBaseURL(origin) && u.Path == ""
		found.require(ok, "WEBAUTHN_ORIGINS", "has an entry that is not an https origin (http is valid for localhost)")
		if ok {
			host := u.Hostname()
			found.require(host == w.RPID || strings.HasSuffix(host, "."+w.RPID), "WEBAUTHN_ORIGINS",
				"has an origin that is neither at WEBAUTHN_RP_ID nor at a subdomain of it")
		}
	}
}

// isDomain reports whether s is a domain in lower case.
func isDomain(s string) bool {
	ascii, err := idna.Lookup.ToASCII(s)
	_, ipErr := netip.ParseAddr(s)
	return err == nil && ascii == s && ipErr != nil && !strings.ContainsAny(s, ":/")
}

func (p *Passwords) check(found findings) {
	const end = "/range/"
	base, ok := strings.CutSuffix(p.PwnedURL, end)
	found.require(p.PwnedURL == "" || ok && isBaseURL(base), "PWNED_PASSWORDS_URL",
		"is not an https URL (http is valid for localhost) without query and fragment that ends in "+end)
	found.require(uint64(p.MemoryKiB)*uint64(p.Iterations) <= maxWorkKiB, "ARGON2_ITERATIONS",
		fmt.Sprintf("times ARGON2_MEMORY_KIB is more than %d KiB, which would exceed the time of a request; lower one of them", maxWorkKiB))
	minKiB := minLaneKiB * uint32(p.Parallelism)
	found.require(p.MemoryKiB >= minKiB, "ARGON2_MEMORY_KIB", fmt.Sprintf("is less than %d, which ARGON2_PARALLELISM requires", minKiB))
}

func (h *HTTP) check(found findings) {
	found.require(isAddress(h.Addr), "HTTP_ADDR", "is not an address")
	found.require(isAddress(h.MetricsAddr), "METRICS_ADDR", "is not an address")
	found.require(h.MetricsAddr != h.Addr || strings.HasSuffix(h.Addr, ":0"), "METRICS_ADDR", "is the same as HTTP_ADDR")
	found.require(h.ShutdownDelay < h.ShutdownTimeout, "SHUTDOWN_TIMEOUT", "is not longer than SHUTDOWN_DELAY")
}

func (m *Mail) check(found findings) {
	from, err := mail.ParseAddress(m.From)
	found.require(m.From == "" || err == nil, "MAIL_FROM", "is not an address")
	if err == nil {
		_, err = idna.Lookup.ToASCII(from.Address[strings.LastIndexByte(from.Address, '@')+1:])
		found.require(err == nil, "MAIL_FROM", "has a domain that is not valid")
	}
	found.require(m.LinksBaseURL == "" || isBaseURL(m.LinksBaseURL), "MAIL_LINKS_BASE_URL",
		"is not an https URL (http is valid for localhost) without query, fragment and slash at the end")
	found.require(!strings.ContainsFunc(m.ProductName, unicode.IsControl) && len(m.ProductName) <= maxProductName, "MAIL_PRODUCT_NAME",
		fmt.Sprintf("is not one line of at most %d bytes", maxProductName))
	if m.TemplatesDir != "" {
		info, err := os.Stat(m.TemplatesDir)
		found.require(err == nil && info.IsDir(), "MAIL_TEMPLATES_DIR", "is not a directory that can be read")
	}
}

// isBaseURL reports whether s can be the beginning of links in mails.
func isBaseURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery {
		return false
	}
	if strings.Contains(s, "#") || strings.HasSuffix(s, "/") {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost") || err == nil && addr.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && local
}

func (l *Log) check(found findings) {
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	found.require(slices.Contains(levels, l.Level), "LOG_LEVEL", "is not a level")
}

// sendsValuesInText reports whether the driver would send values in the text of queries and not as parameters.
func sendsValuesInText(dsn string) bool {
	cfg, err := pgxpool.ParseConfig(dsn)
	return err == nil && cfg.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol
}

// isHost reports whether s is a host name or an IP address, without port, scheme or user.
func isHost(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil || !strings.ContainsAny(s, ":/@[] \t\r\n")
}

// isAddress reports whether s is an address to listen on. Port 0 means any free port.
func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}
