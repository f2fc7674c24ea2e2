package mail_test

import (
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"user-service/internal/testkit"
	"user-service/pkg/mail"
	"user-service/pkg/mail/mailtest"
)

var from = netmail.Address{Name: "Ada's Shop", Address: "no-reply@shop.example.com"}

// sendTo sends a mail to the server with this URL.
func sendTo(t *testing.T, ctx context.Context, url string) (*mail.Transport, error) {
	t.Helper()
	transport, err := mail.NewTransport(url)
	if err != nil {
		t.Fatal(err)
	}
	m := mailOf(mail.PasswordReset)
	text, err := load(t, "").Render(m, mail.Account{Locale: "de"})
	if err != nil {
		t.Fatal(err)
	}
	return transport, transport.Send(ctx, from, "ada@example.com", m, text)
}

// content returns the plain text and the HTML of a mail.
func content(t *testing.T, m mailtest.Mail) (plain, page string) {
	t.Helper()
	message := m.Message(t)
	typ, params, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil || typ != "multipart/alternative" {
		t.Fatalf("the mail is %s: %v", typ, err)
	}
	parts := map[string]string{}
	for reader := multipart.NewReader(message.Body, params["boundary"]); ; {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return parts["text/plain; charset=UTF-8"], parts["text/html; charset=UTF-8"]
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		parts[part.Header.Get("Content-Type")] = strings.ReplaceAll(string(text), "\r\n", "\n")
	}
}

func TestAMailHasItsHeadersAndBothForms(t *testing.T) {
	t.Parallel()
	server := mailtest.Start(t, mailtest.Options{})
	if _, err := sendTo(t, t.Context(), "smtp://"+server.Address+"?tls=none"); err != nil {
		t.Fatal(err)
	}
	sent := server.Mails()[0]
	if sent.From != from.Address || sent.To != "ada@example.com" {
		t.Errorf("the envelope has %s and %s", sent.From, sent.To)
	}
	message := sent.Message(t)
	subject, err := new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject"))
	if err != nil || subject != "Neues Passwort für Ada's <Shop> setzen" {
		t.Errorf("the subject is %q, %v", subject, err)
	}
	for name, want := range map[string]string{
		"From": `"Ada's Shop" <no-reply@shop.example.com>`, "To": "<ada@example.com>", "Auto-Submitted": "auto-generated",
		"Message-Id": "<" + eventID.String() + "@shop.example.com>", "Content-Language": "de", "Mime-Version": "1.0",
	} {
		if got := message.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if date, err := message.Header.Date(); err != nil || time.Since(date).Abs() > time.Minute {
		t.Errorf("the date is %s, %v", date, err)
	}
	plain, page := content(t, sent)
	const link = "https://shop.example.com/de/reset-password#token=t0ken-_"
	if !strings.Contains(plain, "\n"+link+"\n") || strings.Count(page, link) != 2 || !strings.Contains(plain, "öffnen Sie diesen Link") {
		t.Errorf("the mail is\n%s\n%s", plain, page)
	}
}

func TestTLSAndAuthentication(t *testing.T) {
	t.Parallel()
	const secret = "p@ss/word"
	for name, test := range map[string]struct {
		options mailtest.Options
		url     string // @ stands for the address
		want    string // a part of the error; empty: the mail is sent encrypted
	}{
		"STARTTLS": {mailtest.Options{TLS: tlsConfig(testCA)}, "smtp://@", ""},
		"STARTTLS with a name": {
			mailtest.Options{TLS: tlsConfig(testCA), User: "ada", Password: secret}, "smtp://ada:p%40ss%2Fword@@?tls=required", "",
		},
		"implicit TLS": {
			mailtest.Options{TLS: tlsConfig(testCA), Implicit: true, User: "ada", Password: secret}, "smtps://ada:p%40ss%2Fword@@", "",
		},
		"opportunistic":       {mailtest.Options{TLS: tlsConfig(testCA)}, "smtp://@?tls=opportunistic", ""},
		"no STARTTLS":         {mailtest.Options{}, "smtp://@", "does not offer what is required"},
		"unknown certificate": {mailtest.Options{TLS: tlsConfig(otherCA)}, "smtp://@", "certificate is not valid"},
		"unknown, implicit":   {mailtest.Options{TLS: tlsConfig(otherCA), Implicit: true}, "smtps://@", "certificate is not valid"},
		"not TLS":             {mailtest.Options{}, "smtps://@", "does not speak TLS"},
		"wrong password":      {mailtest.Options{TLS: tlsConfig(testCA), User: "ada", Password: secret}, "smtp://ada:wrong@@", "535"},
		"no password":         {mailtest.Options{TLS: tlsConfig(testCA), User: "ada", Password: secret}, "smtp://@", "530"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := mailtest.Start(t, test.options)
			at := strings.LastIndex(test.url, "@")
			transport, err := sendTo(t, t.Context(), test.url[:at]+server.Address+test.url[at+1:])
			if test.want == "" {
				if err != nil || len(server.Mails()) != 1 || !server.Mails()[0].Encrypted || transport.Check(t.Context()) != nil {
					t.Errorf("%v, %d mails", err, len(server.Mails()))
				}
				return
			}
			checkFailure(t, err, false, test.want)
			if err := transport.Check(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the check returns %v", err)
			}
		})
	}
}

// checkFailure checks that an error is permanent or not, that it has this part, and that it has no text of the server.
func checkFailure(t *testing.T, err error, permanent bool, part string) {
	t.Helper()
	var failure *mail.SendError
	if !errors.As(err, &failure) || failure.Permanent != permanent || !strings.Contains(failure.Reason, part) {
		t.Errorf("%#v, want permanent %t and %q", err, permanent, part)
	} else if strings.Contains(failure.Reason, "example.com") || strings.Contains(failure.Reason, "p@ss") {
		t.Errorf("the reason has an address or a secret: %s", failure.Reason)
	}
}

func TestAnswersOfTheServer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		command   string
		answer    error
		permanent bool
		allMails  bool
		want      string
	}{
		"greylisting":            {"RCPT", mailtest.Refuse(451, 4), false, false, "RCPT TO command: 451 4.1.1"},
		"mailbox full":           {"RCPT", mailtest.Refuse(452, 4), false, false, "452"},
		"no such mailbox":        {"RCPT", mailtest.Refuse(550, 5), true, false, "RCPT TO command: 550 5.1.1"},
		"refused sender":         {"MAIL", mailtest.Refuse(550, 5), false, true, "MAIL FROM command: 550"},
		"busy":                   {"MAIL", mailtest.Refuse(421, 4), false, true, "421"},
		"shutdown":               {"RCPT", mailtest.Refuse(421, 4), false, true, "421"},
		"refused content":        {"DATA", mailtest.Refuse(554, 5), true, false, "554"},
		"content refused so far": {"DATA", mailtest.Refuse(451, 4), false, false, "451"},
		"authentication needed":  {"RCPT", mailtest.Refuse(530, 5), false, true, "530"},
		"daily limit":            {"RCPT", mailtest.RefuseWith(550, 5, 4, 5), false, true, "RCPT TO command: 550 5.4.5"},
		"limit of recipients":    {"DATA", mailtest.RefuseWith(554, 5, 1, 90), false, true, "554 5.1.90"},
		"blocked sender":         {"RCPT", mailtest.RefuseWith(550, 5, 7, 501), false, true, "550 5.7.501"},
		"refused recipient":      {"RCPT", mailtest.RefuseWith(550, 5, 7, 1), true, false, "550 5.7.1"},
		"cut at MAIL":            {"MAIL", mailtest.ErrCut, false, true, "MAIL FROM command: "},
		"cut at RCPT":            {"RCPT", mailtest.ErrCut, false, true, "RCPT TO command: "},
		"cut at DATA":            {"DATA", mailtest.ErrCut, false, true, "end of the mail: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := mailtest.Start(t, mailtest.Options{})
			server.Answer(func(command string) error {
				if command == test.command {
					return test.answer
				}
				return nil
			})
			transport, err := sendTo(t, t.Context(), "smtp://"+server.Address+"?tls=none")
			checkFailure(t, err, test.permanent, test.want)
			if failed := transport.Check(t.Context()) != nil; failed != test.allMails {
				t.Errorf("the check fails: %t", failed)
			}
			if len(server.Mails()) != 0 {
				t.Error("the mail was sent")
			}
		})
	}
}

func TestAServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	_, err := sendTo(t, t.Context(), "smtp://"+testkit.FreeAddress(t))
	checkFailure(t, err, false, "connection refused")
}

// TestASilentServer checks that the conversation with a server that does not answer ends when the context ends.
func TestASilentServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for _, scheme := range []string{"smtp", "smtps"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err = sendTo(t, ctx, scheme+"://"+l.Addr().String())
		cancel()
		checkFailure(t, err, false, "connect: timeout")
	}
	server := mailtest.Start(t, mailtest.Options{})
	release := make(chan struct{})
	defer close(release)
	server.Answer(func(command string) error {
		if command == "DATA" {
			<-release
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // enough to reach DATA on a busy machine
	defer cancel()
	transport, err := sendTo(t, ctx, "smtp://"+server.Address+"?tls=none")
	checkFailure(t, err, false, "end of the mail: timeout")
	if err := transport.Check(t.Context()); err != nil {
		t.Errorf("a timeout after the sender was accepted concerns all mails: %v", err)
	}
}

// TestASlowRecipientEndsAFirstAttempt checks that a first attempt ends soon if the answer to RCPT takes long. The recipient's server can
// delay that answer.
func TestASlowRecipientEndsAFirstAttempt(t *testing.T) {
	t.Parallel()
	server := mailtest.Start(t, mailtest.Options{})
	release := make(chan struct{})
	defer close(release)
	server.AnswerTo(func(string) error { <-release; return nil })
	began := time.Now()
	transport, err := sendTo(t, t.Context(), "smtp://"+server.Address+"?tls=none")
	checkFailure(t, err, false, "RCPT TO command: timeout")
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the attempt took %s", took)
	}
	if err := transport.Check(t.Context()); err != nil {
		t.Errorf("the failure concerns all mails: %v", err)
	}
}

func TestAFolderInPlaceOfAServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := sendTo(t, t.Context(), "file://"+dir); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != eventID.String()+".eml" {
		t.Fatalf("%v, %v", files, err)
	}
	if info, err := files[0].Info(); err != nil || info.Mode() != 0o600 { // the link is a secret
		t.Errorf("the mode of the file is %v, %v", info.Mode(), err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, files[0].Name()))
	if err != nil || !strings.Contains(string(raw), "\nhttps://shop.example.com/de/reset-password#token=t0ken-_\n") {
		t.Errorf("%s, %v", raw, err)
	}
	_, err = sendTo(t, t.Context(), "file://"+dir+"/missing")
	checkFailure(t, err, false, "create a file")
}

func TestURLsOfServers(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"smtp://mail.example.com", "smtp://a:b@mail.example.com:587?tls=required", "smtp://mail:25/?tls=opportunistic",
		"smtp://[::1]:1025?tls=none", "smtp://a:b@127.0.0.1?tls=opportunistic",
		"smtps://a%40b:c%2Fd@mail.example.com:465", "smtp://a:b@localhost:1025?tls=none", "file:///var/mails",
	} {
		if err := mail.CheckURL(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for url, want := range map[string]string{
		"":                                       "another scheme",
		"mail.example.com:587":                   "another scheme",
		"http://mail.example.com":                "another scheme",
		"smtp://":                                "has no host",
		"smtp://a:secret/b@mail":                 "is not a URL",
		"smtp://mail:0":                          "has a port",
		"smtp://mail:99999":                      "has a port",
		"smtp://mail/path":                       "has a path",
		"smtp://a:secret#b@mail":                 "is not a URL",
		"smtp://mail?tls=maybe":                  "has another value of tls",
		"smtp://mail?ssl=secret":                 "has another parameter than tls",
		"smtps://mail?tls=none":                  "smtps, which always requires TLS",
		"smtp://a:secret@mail:1025?tls=none":     "password could be sent unencrypted",
		"smtp://a:secret@mail?tls=opportunistic": "password could be sent unencrypted",
		"file://secret":                          "is not a folder",
		"file:secret":                            "is not a folder",
	} {
		if err := mail.CheckURL(url); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}
