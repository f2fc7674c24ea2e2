package mail

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"

	gomail "github.com/wneessen/go-mail"
)

// Default ports: submission with STARTTLS (RFC 6409), and with TLS from the start (RFC 8314).
const (
	submissionPort = 587
	implicitPort   = 465
)

// server describes a mail server, or a folder that replaces it in development.
type server struct {
	host           string
	port           int
	implicitTLS    bool
	policy         gomail.TLSPolicy // for STARTTLS
	user, password string
	folder         string // gets a file for each mail; empty: mails go to the server
}

// CheckURL validates the URL of a mail server. The error continues a sentence that begins with the name of the configuration variable, and
// contains no part of the URL.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

// parseURL parses smtp://user:password@host:587?tls=required, smtps://user:password@host:465, or file:///folder.
func parseURL(text string) (server, error) {
	u, err := url.Parse(text)
	if err != nil {
		return server{}, errors.New("is not a URL; percent-encode special characters of the password")
	}
	var s server
	switch u.Scheme {
	case "smtp":
		s.port = submissionPort
	case "smtps":
		s.port, s.implicitTLS = implicitPort, true
	case "file":
		return parseFolder(u)
	default:
		return server{}, errors.New("has another scheme than smtp, smtps or file")
	}
	if s.host = u.Hostname(); s.host == "" {
		return server{}, errors.New("has no host")
	}
	if u.Port() != "" {
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || port == 0 {
			return server{}, errors.New("has a port that is not a number from 1 to 65535")
		}
		s.port = int(port)
	}
	if u.Path != "" && u.Path != "/" || u.Fragment != "" {
		return server{}, errors.New("has a path or a fragment; percent-encode special characters of the password")
	}
	s.user = u.User.Username()
	s.password, _ = u.User.Password()
	return s, s.setPolicy(u.Query())
}

// setPolicy reads the parameter tls.
func (s *server) setPolicy(query url.Values) error {
	for name := range query {
		if name != "tls" {
			return errors.New("has another parameter than tls")
		}
	}
	switch policy := query.Get("tls"); {
	case policy == "" || policy == "required":
		s.policy = gomail.TLSMandatory
	case s.implicitTLS:
		return errors.New("has the scheme smtps, which always requires TLS, and another value of tls than required")
	case policy == "opportunistic":
		s.policy = gomail.TLSOpportunistic
	case policy == "none":
		s.policy = gomail.NoTLS
	default:
		return errors.New("has another value of tls than required, opportunistic or none")
	}
	if s.user != "" && s.policy != gomail.TLSMandatory && !isLoopback(s.host) { // opportunistic: an attacker can remove STARTTLS
		return errors.New("has a password and another value of tls than required, so that the password could be sent unencrypted")
	}
	return nil
}

func parseFolder(u *url.URL) (server, error) {
	if u.Host != "" || !filepath.IsAbs(u.Path) || u.RawQuery != "" || u.Fragment != "" {
		return server{}, errors.New("is not a folder such as file:///var/mails")
	}
	return server{folder: filepath.Clean(u.Path)}, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// address returns host:port.
func (s server) address() string { return net.JoinHostPort(s.host, strconv.Itoa(s.port)) }
