package mail

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

const (
	// connectTimeout bounds the connect, including TLS from the start.
	connectTimeout = 10 * time.Second
	// sendTimeout bounds the whole conversation with the server.
	sendTimeout = 30 * time.Second
	// firstRecipientTimeout is how long the server may take, at a first attempt, to accept the recipient. Some servers first ask the
	// recipient's server, which may answer slowly or never. A later attempt has sendTimeout, because it does not delay the first attempts
	// of other mails.
	firstRecipientTimeout = 2 * time.Second
)

// SendError is the reason why a mail was not sent. It contains no address. It also contains no text of the server, because such a text
// often contains an address.
type SendError struct {
	// Permanent means that the server will never accept this mail. Otherwise a later attempt may succeed.
	Permanent bool
	// AllMails means that the reason is not this mail or its recipient, so that no mail can be sent now.
	AllMails bool
	Reason   string
}

func (e *SendError) Error() string { return e.Reason }

// unavailable returns the SendError of a server that accepts no mail now.
func unavailable(format string, args ...any) *SendError {
	return &SendError{AllMails: true, Reason: fmt.Sprintf(format, args...)}
}

// Transport hands mails to a mail server, or writes them to a folder.
type Transport struct {
	server atomic.Pointer[server]
	last   atomic.Pointer[string] // why the last attempt failed, if the reason concerns all mails; else nil
}

// NewTransport returns a Transport for the URL of a mail server or of a folder. It does not connect.
func NewTransport(url string) (*Transport, error) {
	t := &Transport{}
	return t, t.SetURL(url)
}

// SetURL changes the server for future mails.
func (t *Transport) SetURL(url string) error {
	s, err := parseURL(url)
	if err != nil {
		return err
	}
	t.server.Store(&s)
	return nil
}

// Check returns an error if the last attempt failed for a reason that concerns all mails.
func (t *Transport) Check(context.Context) error {
	if reason := t.last.Load(); reason != nil {
		return errors.New("the mail server does not accept mails: " + *reason)
	}
	return nil
}

// send sends a mail in at most sendTimeout, or until ctx ends. A first attempt gives the server at most firstRecipientTimeout to accept the
// recipient. The error is a *SendError. If the connection was lost at the end of the mail, the server may have accepted the mail.
func (t *Transport) send(ctx context.Context, msg *gomail.Msg, name string, first bool) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	s := t.server.Load()
	var err error
	if s.folder != "" {
		err = s.write(msg, name)
	} else {
		recipientTimeout := sendTimeout
		if first {
			recipientTimeout = firstRecipientTimeout
		}
		err = s.deliver(ctx, msg, recipientTimeout)
	}
	var failure *SendError
	if errors.As(err, &failure) && failure.AllMails {
		t.last.Store(&failure.Reason)
	} else {
		t.last.Store(nil)
	}
	return err
}

// write writes a mail to the folder, for development. The text is not encoded, so that its link can be copied. The file gets its name only
// when it is complete.
func (s *server) write(msg *gomail.Msg, name string) error {
	file, err := os.CreateTemp(s.folder, ".draft-")
	if err != nil {
		return unavailable("create a file: %v", err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	for _, part := range msg.GetParts() {
		part.SetEncoding(gomail.NoEncoding)
	}
	_, err = msg.WriteTo(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return unavailable("write a file: %v", err)
	}
	if err := os.Rename(file.Name(), filepath.Join(s.folder, name+".eml")); err != nil {
		return unavailable("rename a file: %v", err)
	}
	return nil
}

// deliver sends a mail on a connection of its own. The server may take recipientTimeout to accept the recipient.
func (s *server) deliver(ctx context.Context, msg *gomail.Msg, recipientTimeout time.Duration) error {
	client, err := s.client(ctx)
	if err != nil {
		return unavailable("prepare the connection: %v", err)
	}
	conn, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return unavailable("connect: %s", describe(cmp.Or(ctx.Err(), err)))
	}
	defer func() { _ = conn.Close() }()
	if step, err := converse(conn, msg, recipientTimeout); err != nil {
		return step.failure(cmp.Or(ctx.Err(), err))
	}
	_ = client.CloseWithSMTPClient(conn) // an error after the server's confirm changes nothing
	return nil
}

// converse hands a mail to the server. If it fails, it returns the step that failed.
func converse(conn *smtp.Client, msg *gomail.Msg, recipientTimeout time.Duration) (step, error) {
	from, err := msg.GetSender(false)
	if err != nil {
		return stepSender, err
	}
	to, err := msg.GetRecipients()
	if err != nil {
		return stepRecipient, err
	}
	if err := conn.Mail(from); err != nil {
		return stepSender, err
	}
	if err := errors.Join(conn.UpdateDeadline(recipientTimeout), conn.Rcpt(to[0]), conn.UpdateDeadline(sendTimeout)); err != nil {
		return stepRecipient, err
	}
	content, err := conn.Data()
	if err != nil {
		return stepData, err
	}
	if _, err := msg.WriteTo(content); err != nil {
		return stepContent, err
	}
	return stepContent, content.Close()
}

// client returns a client for one connection. The connection is closed when ctx ends.
func (s *server) client(ctx context.Context) (*gomail.Client, error) {
	dial := func(dialing context.Context, network, _ string) (net.Conn, error) {
		dialing, cancel := context.WithTimeout(dialing, connectTimeout)
		defer cancel()
		return s.dial(ctx, dialing, network)
	}
	options := []gomail.Option{
		gomail.WithPort(s.port), gomail.WithTimeout(sendTimeout), gomail.WithoutNoop(), gomail.WithDialContextFunc(dial),
		gomail.WithTLSPolicy(s.policy),
	}
	if s.implicitTLS {
		options = append(options, gomail.WithSSL())
	}
	if s.user != "" {
		options = append(options, gomail.WithUsername(s.user), gomail.WithPassword(s.password),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
	}
	return gomail.NewClient(s.host, options...)
}

// dial connects. It gives up when the context dialing ends. The open connection is closed when ctx ends.
func (s *server) dial(ctx, dialing context.Context, network string) (net.Conn, error) {
	socket, err := new(net.Dialer).DialContext(dialing, network, s.address())
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = socket.Close() })
	if !s.implicitTLS {
		return socket, nil
	}
	stream := tls.Client(socket, &tls.Config{ServerName: s.host, MinVersion: tls.VersionTLS12})
	if err := stream.HandshakeContext(dialing); err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return stream, nil
}

// step is a step of the conversation that hands a mail to the server.
type step string

// The steps, as reasons show them.
const (
	stepSender    step = "MAIL FROM command"
	stepRecipient step = "RCPT TO command"
	stepData      step = "DATA command"
	stepContent   step = "end of the mail"
)

// serverCodes are the codes of answers that concern all mails. 421 means that the server shuts down (RFC 5321 section 3.8). The others mean
// that it requires another authentication (RFC 4954 section 6).
var serverCodes = []int{421, 530, 534, 535, 538}

var (
	// status matches an enhanced status code (RFC 3463) at the beginning of an answer.
	status = regexp.MustCompile(`^[45]\.\d{1,3}\.\d{1,3}\b`)
	// senderStatus matches codes that are about the sender's account, and so concern all mails. RFC 3463: 5.3.2 (the system accepts no
	// mails). Gmail: 5.4.5 (daily limit). Microsoft 365: 5.1.90 (daily limit), 5.7.60 (may not send as this sender), the other codes that
	// begin with 5.7 (the sender is blocked).
	senderStatus = regexp.MustCompile(`^5\.(3\.2|4\.5|1\.90|7\.(60|50[123]|705|708|750))$`)
)

// failure returns the SendError of a step that failed. After the server has accepted the sender, a timeout concerns this mail, because the
// server may be waiting for the recipient's server.
func (s step) failure(err error) *SendError {
	var reply *textproto.Error
	if !errors.As(err, &reply) {
		return &SendError{AllMails: s == stepSender || !isTimeout(err), Reason: fmt.Sprintf("%s: %s", s, describe(err))}
	}
	code := status.FindString(reply.Msg)
	allMails := s == stepSender || slices.Contains(serverCodes, reply.Code) || senderStatus.MatchString(code)
	return &SendError{
		Permanent: !allMails && reply.Code >= 500, AllMails: allMails,
		Reason: strings.TrimSpace(fmt.Sprintf("%s: %d %s", s, reply.Code, code)),
	}
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout() ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// describe returns the kind of an error without addresses and without texts of the server.
func describe(err error) string {
	var (
		reply     *textproto.Error
		operation *net.OpError
		unknown   x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &reply):
		return fmt.Sprintf("the server answers %d", reply.Code)
	case errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &invalid):
		return "the server's certificate is not valid for this host"
	case errors.As(err, &record):
		return "the server does not speak TLS"
	case isTimeout(err):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "aborted"
	case errors.As(err, &operation):
		return operation.Op + ": " + operation.Err.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return "connection lost"
	case errors.Is(err, gomail.ErrNoSupportedAuthDiscovered):
		return "the server offers no supported authentication"
	default:
		return "the server does not offer what is required (STARTTLS, authentication)"
	}
}
