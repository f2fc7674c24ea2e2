package main

import (
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"user-service/internal/testkit"
)

// smtpd is a process of aiosmtpd, a mail server that is independent of package mailtest. testdata/smtpd.py describes its responses.
type smtpd struct {
	t               *testing.T
	python, address string
	folder          string // contains the received mails
	cmd             *exec.Cmd
}

func startSMTPD(t *testing.T) *smtpd {
	t.Helper()
	s := &smtpd{t: t, python: pythonWithSMTPD(t), address: testkit.FreeAddress(t), folder: t.TempDir()}
	s.start()
	t.Cleanup(s.kill)
	return s
}

// pythonWithSMTPD returns a Python that has aiosmtpd, and installs it if it is missing.
func pythonWithSMTPD(t *testing.T) string {
	t.Helper()
	find := func() string {
		for _, python := range []string{"/usr/bin/python3", "python3"} {
			if exec.CommandContext(t.Context(), python, "-c", "import aiosmtpd").Run() == nil {
				return python
			}
		}
		return ""
	}
	if python := find(); python != "" {
		return python
	}
	out, err := exec.CommandContext(t.Context(), "../../tools/dev/packages", "aiosmtpd").CombinedOutput()
	python := find()
	if python == "" {
		t.Fatalf("install aiosmtpd: %v: %s", err, out)
	}
	return python
}

// start starts the server at its address.
func (s *smtpd) start() {
	s.t.Helper()
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	out := &testkit.Buffer{}
	s.cmd = exec.CommandContext(s.t.Context(), s.python, "testdata/smtpd.py", port, s.folder)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	testkit.WaitFor(s.t, "the mail server", func() bool { return strings.Contains(out.String(), "ready") })
}

// kill ends the server like kill -9.
func (s *smtpd) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// mails returns the mails to an address.
func (s *smtpd) mails(address string) (mails []string) {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.folder, address+".*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		mails = append(mails, string(text))
	}
	return mails
}

// await waits until each address has got a mail.
func (s *smtpd) await(addresses ...string) {
	s.t.Helper()
	for _, address := range addresses {
		testkit.WaitFor(s.t, "a mail to "+address, func() bool { return len(s.mails(address)) > 0 })
	}
}

// mailerEnvironment returns the environment of a mailer for the mail server at an address.
func mailerEnvironment(env map[string]string, address string) []string {
	settings := maps.Clone(env)
	settings["SMTP_URL"], settings["MAIL_FROM"] = "smtp://"+address+"?tls=none", "Shop <shop@example.com>"
	settings["MAIL_LINKS_BASE_URL"], settings["JWT_SECRET"] = "http://localhost:3000", ""
	list := []string{"PATH=" + os.Getenv("PATH")}
	for name, value := range settings {
		list = append(list, name+"="+value)
	}
	return list
}

// TestAnotherMailServer runs two mailers with aiosmtpd. The server uses greylisting, closes connections early and is unavailable for some
// time, and the test kills both mailers. Each mail must arrive once, except for the mail that is in progress at the kill. That mail must
// arrive twice, with the same Message-ID.
func TestAnotherMailServer(t *testing.T) {
	t.Parallel()
	env := replicaEnvironment(t)
	service, server := startReplica(t, env, nil), startSMTPD(t)
	mailChannel(t, env)
	list := mailerEnvironment(env, server.address)
	mailers := []*mailerProcess{{t: t, env: list}, {t: t, env: list}}
	for _, m := range mailers {
		m.start()
	}
	register := func(addresses ...string) {
		for _, address := range addresses {
			service.must(http.MethodPost, "/register", map[string]any{"email": address, "password": "seven green kettles sing"}, nil)
		}
	}

	once := []string{"a@example.com", "g1@example.com", "g2@example.com", "c1@example.com", "c2@example.com"}
	register(once...)
	server.await(once...)

	server.kill()
	late := []string{"l1@example.com", "l2@example.com"}
	register(late...)
	testkit.WaitFor(t, "refused connections", func() bool {
		return strings.Count(mailers[0].log.String()+mailers[1].log.String(), "connection refused") >= len(late)
	})
	server.start()
	server.await(late...)

	const unanswered = "s@example.com"
	register(unanswered)
	server.await(unanswered)
	for _, m := range mailers {
		m.kill()
	}
	mustExec(t, connect(t, env["DATABASE_URL"]),
		`UPDATE mails_sent SET claimed_at = claimed_at - interval '1 minute' WHERE sent_at IS NULL`)
	mailers[0].start()
	testkit.WaitFor(t, "a second attempt", func() bool { return len(server.mails(unanswered)) == 2 })
	mailers[0].terminate()

	for _, address := range slices.Concat(once, late) {
		if n := len(server.mails(address)); n != 1 {
			t.Errorf("%d mails were sent to %s, want 1", n, address)
		}
	}
	twice := server.mails(unanswered)
	if a, b := messageID(twice[0]), messageID(twice[1]); a == "" || a != b {
		t.Errorf("the two copies of a mail have the lines %q and %q, want one Message-ID", a, b)
	}
}

// messageID returns the line of the Message-ID.
func messageID(mail string) string {
	for line := range strings.Lines(mail) {
		if strings.HasPrefix(line, "Message-ID:") {
			return line
		}
	}
	return ""
}
