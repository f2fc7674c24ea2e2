// Package mailtest has a mail server for tests. A test decides the server's answers.
package mailtest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/mail"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"user-service/internal/testkit"
)

// Options configure a Server.
type Options struct {
	Address        string      // empty: a free port of this machine
	TLS            *tls.Config // for STARTTLS; nil: none
	Implicit       bool        // requires TLS from the start
	User, Password string      // unless User is empty, the client must authenticate
}

// Server is a mail server that collects mails.
type Server struct {
	Address string

	t        testing.TB
	options  Options
	mu       sync.Mutex
	mails    []Mail
	sessions int
	answer   func(command string) error
	answerTo func(recipient string) error
	accept   func(recipient string) error
	server   *smtp.Server
	ended    chan struct{}
}

// Mail is a mail that the server has accepted.
type Mail struct {
	From, To  string // the addresses of the envelope
	Encrypted bool
	Raw       []byte
}

// Message parses the mail.
func (m Mail) Message(t testing.TB) *mail.Message {
	t.Helper()
	message, err := mail.ReadMessage(bytes.NewReader(m.Raw))
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// Refuse returns an answer with this code and the enhanced status code class.1.1.
func Refuse(code, class int) error { return RefuseWith(code, class, 1, 1) }

// RefuseWith returns an answer with this code and this enhanced status code.
func RefuseWith(code, class, subject, detail int) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{class, subject, detail}, Message: "no mail for <ada@example.com>"}
}

// ErrCut is returned by a test's function in place of an answer. The server then closes the connection.
var ErrCut = errors.New("cut the connection")

// Start runs a server until the test ends.
func Start(t testing.TB, options Options) *Server {
	t.Helper()
	if options.Address == "" {
		options.Address = testkit.FreeAddress(t)
	}
	s := &Server{Address: options.Address, t: t, options: options}
	s.Listen()
	t.Cleanup(s.Stop)
	return s
}

// Listen starts a server that was stopped.
func (s *Server) Listen() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.Address) //nolint:noctx // does not block
	if err != nil {
		s.t.Fatal(err)
	}
	if s.options.Implicit {
		l = tls.NewListener(l, s.options.TLS)
	}
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return s.open(c) }))
	server.Domain, server.AllowInsecureAuth, server.ErrorLog = "mail.test", true, log.New(io.Discard, "", 0)
	if !s.options.Implicit {
		server.TLSConfig = s.options.TLS
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(l) }()
	s.server, s.ended = server, ended
}

// Stop ends the server and its connections. Listen starts the server again.
func (s *Server) Stop() {
	if s.server == nil {
		return
	}
	_ = s.server.Close()
	<-s.ended
	s.server = nil
}

// Answer sets the function that decides the server's answers to MAIL, RCPT and DATA (at the end of the mail). If the function returns nil,
// the server accepts the command. Without a function, it accepts each command.
func (s *Server) Answer(answer func(command string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// AnswerTo sets a function that decides the answers to RCPT by the recipient. If it returns nil, the function of Answer decides.
func (s *Server) AnswerTo(answer func(recipient string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answerTo = answer
}

// AcceptTo sets a function that decides the answers to the end of a mail by the recipient. If it returns nil, the function of Answer
// decides.
func (s *Server) AcceptTo(accept func(recipient string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accept = accept
}

// Mails returns the accepted mails.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// Sessions returns the number of connections.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}

func (s *Server) open(c *smtp.Conn) (smtp.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions++
	d := &session{server: s, conn: c, authenticated: s.options.User == ""}
	if s.options.User == "" {
		return d, nil
	}
	return authSession{d}, nil
}

// session is a connection.
type session struct {
	server        *Server
	conn          *smtp.Conn
	authenticated bool
	mail          Mail
}

func (d *session) answer(command string) error {
	d.server.mu.Lock()
	answer := d.server.answer
	d.server.mu.Unlock()
	if answer == nil {
		return nil
	}
	err := answer(command)
	if errors.Is(err, ErrCut) {
		_ = d.conn.Conn().Close()
	}
	return err
}

// Mail implements smtp.Session.
func (d *session) Mail(from string, _ *smtp.MailOptions) error {
	if !d.authenticated {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "authenticate first"}
	}
	_, encrypted := d.conn.TLSConnectionState()
	d.mail = Mail{From: from, Encrypted: encrypted}
	return d.answer("MAIL")
}

// Rcpt implements smtp.Session.
func (d *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	d.mail.To = to
	d.server.mu.Lock()
	answerTo := d.server.answerTo
	d.server.mu.Unlock()
	if answerTo != nil {
		if err := answerTo(to); err != nil {
			return err
		}
	}
	return d.answer("RCPT")
}

// Data implements smtp.Session.
func (d *session) Data(r io.Reader) error {
	var err error
	if d.mail.Raw, err = io.ReadAll(r); err != nil {
		return err
	}
	d.server.mu.Lock()
	accept := d.server.accept
	d.server.mu.Unlock()
	if accept != nil {
		if err := accept(d.mail.To); err != nil {
			return err
		}
	}
	if err := d.answer("DATA"); err != nil {
		return err
	}
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	d.server.mails = append(d.server.mails, d.mail)
	return nil
}

// Reset implements smtp.Session.
func (d *session) Reset() {}

// Logout implements smtp.Session.
func (d *session) Logout() error { return nil }

// authSession is a connection whose client must authenticate.
type authSession struct{ *session }

// AuthMechanisms implements smtp.AuthSession.
func (d authSession) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth implements smtp.AuthSession.
func (d authSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != d.server.options.User || password != d.server.options.Password {
			return smtp.ErrAuthFailed
		}
		d.authenticated = true
		return nil
	}), nil
}
