package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/internal/testkit"
	"user-service/pkg/mail/mailtest"
)

// mailerProcess is a process of user-service mail.
type mailerProcess struct {
	t       *testing.T
	env     []string
	cmd     *exec.Cmd
	log     *testkit.Buffer
	metrics string // the URL of the metrics port
}

var sendingAt = regexp.MustCompile(`"msg":"sending mails".*"metrics":"(.+?)"`)

// start starts the process, and waits until it is ready.
func (m *mailerProcess) start() {
	m.t.Helper()
	m.log = &testkit.Buffer{}
	m.cmd = exec.CommandContext(m.t.Context(), "user-service", "mail")
	m.cmd.Env, m.cmd.Stderr = m.env, m.log
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	process, log := m.cmd, m.log
	m.t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
		if m.t.Failed() {
			m.t.Logf("a mailer has logged:\n%s", log)
		}
		for _, secret := range []string{"@example.com", "planted", "#token="} {
			if strings.Contains(log.String(), secret) {
				m.t.Errorf("the log of a mailer contains %q", secret)
			}
		}
	})
	testkit.WaitFor(m.t, "the mailer", func() bool {
		if found := sendingAt.FindStringSubmatch(m.log.String()); found != nil {
			m.metrics = "http://" + found[1]
		}
		return m.metrics != "" && m.get("/readyz") != ""
	})
}

// get returns the response of the metrics port, or "" if the status is not 200.
func (m *mailerProcess) get(path string) string {
	m.t.Helper()
	resp, err := http.Get(m.metrics + path)
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

// kill ends the process like kill -9.
func (m *mailerProcess) kill() {
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
}

// terminate ends the process with SIGTERM, and checks its exit status.
func (m *mailerProcess) terminate() {
	m.t.Helper()
	if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		m.t.Fatal(err)
	}
	if err := m.cmd.Wait(); err != nil {
		m.t.Errorf("the mailer exits with %v", err)
	}
}

// usingQueue is locked during each test that runs mailers, because all mailers of the tests share one queue at one broker.
var usingQueue sync.Mutex

// mailChannel waits until no other test runs mailers, and returns a channel of the broker. At the end of the test it deletes the queues of
// the mailer, because other tests use the same broker.
func mailChannel(t *testing.T, env map[string]string) *amqp.Channel {
	t.Helper()
	usingQueue.Lock()
	t.Cleanup(usingQueue.Unlock)
	address := net.JoinHostPort(env["RABBITMQ_HOST"], env["RABBITMQ_PORT"])
	conn, err := amqp.Dial("amqp://" + env["RABBITMQ_USER"] + ":" + env["RABBITMQ_PASS"] + "@" + address + "/")
	if err != nil {
		t.Fatal(err)
	}
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, suffix := range []string{
			"", ".parked", ".retry", ".delay.10s", ".delay.1m", ".delay.5m", ".delay.15m", ".delay.30m", ".delay.1h", ".delay.4h",
		} {
			for _, queue := range mailQueues() {
				if _, err := channel.QueueDelete(queue.Name+suffix, false, false, false); err != nil {
					t.Error(err)
				}
			}
		}
		_ = conn.Close()
	})
	return channel
}

// tokenIn matches a link with a token. The soft line breaks of quoted-printable must have been removed from the text.
var tokenIn = regexp.MustCompile(`http://localhost:3000/([a-z-]+)#token=([\w.-]+)`)

// linkOf returns the page and the token of a mail's link.
func linkOf(t *testing.T, m mailtest.Mail) (page, token string) {
	t.Helper()
	unfolded := strings.NewReplacer("=\r\n", "", "=3D", "=").Replace(string(m.Raw))
	found := tokenIn.FindStringSubmatch(unfolded)
	if found == nil {
		t.Fatalf("the mail has no link:\n%s", m.Raw)
	}
	return found[1], found[2]
}

// TestTheMailerLosesNoMail registers a user, and requests a reset while the mail server is unavailable. It kills both mailers before the
// server is available again. All mails must arrive.
func TestTheMailerLosesNoMail(t *testing.T) {
	t.Parallel()
	env := replicaEnvironment(t)
	service, server := startReplica(t, env, nil), mailtest.Start(t, mailtest.Options{})
	channel := mailChannel(t, env)
	list := mailerEnvironment(env, server.Address)
	mailers := []*mailerProcess{{t: t, env: list}, {t: t, env: list}}
	mailers[0].start()
	mailers[1].start()
	mail := func(n int) mailtest.Mail {
		t.Helper()
		testkit.WaitFor(t, "a mail", func() bool { return len(server.Mails()) >= n })
		return server.Mails()[n-1]
	}
	account := map[string]any{"email": "ada@example.com", "password": "seven green kettles sing", "locale": "de", "name": "Buy now"}
	service.must(http.MethodPost, "/register", account, nil)
	page, token := linkOf(t, mail(1))
	service.must(http.MethodPost, "/email-verification/confirm", map[string]string{"token": token}, nil)
	if language := mail(1).Message(t).Header.Get("Content-Language"); page != "verify-email" || language != "de" {
		t.Errorf("the link leads to %s and the language is %s, want verify-email and de", page, language)
	}

	server.Stop()
	service.must(http.MethodPost, "/password-reset", map[string]string{"email": "ada@example.com"}, nil)
	testkit.WaitFor(t, "a message that waits for its retry", func() bool {
		queue, err := channel.QueueDeclarePassive(urgentMailQueue+".delay.10s", true, false, false, false, nil)
		return err == nil && queue.Messages == 1
	})
	mailers[0].kill()
	mailers[1].kill()
	server.Listen()
	mailers[0].start()
	page, token = linkOf(t, mail(2))
	confirm := map[string]string{"token": token, "new_password": "nine blue lanterns hum"}
	service.must(http.MethodPost, "/password-reset/confirm", confirm, nil)
	if notice := mail(3); page != "reset-password" || !strings.Contains(string(notice.Raw), "Passwort") {
		t.Errorf("the link leads to %s, want reset-password; the notice, which must be in German, is\n%s", page, notice.Raw)
	}
	for _, line := range []string{
		`user_service_mailer_events_total{kind="password_reset",result="sent"} 1`,
		`user_service_mailer_events_total{kind="password_changed",result="sent"} 1`,
		`user_service_mailer_rabbitmq_connected{queue="user_service.mail.urgent"} 1`,
		`user_service_mailer_rabbitmq_connected{queue="user_service.mail"} 1`,
		`user_service_mailer_queue_messages{queue="user_service.mail.urgent",state="parked"} 0`,
		"user_service_mailer_send_duration_seconds_count 2",
	} {
		testkit.WaitFor(t, "the metric "+line, func() bool { return strings.Contains(mailers[0].get("/metrics"), line+"\n") })
	}
	if ready := mailers[0].get("/readyz"); !strings.Contains(ready, `"smtp":{"status":"ok"}`) {
		t.Errorf("the readiness is %s, want smtp with the status ok", ready)
	}
	mailers[0].checkParked(service, server)
	mailers[0].terminate()
	if n := len(server.Mails()); n != 4 {
		t.Errorf("%d mails were sent, want 4", n)
	}
}

// checkParked makes the server refuse the fourth mail, so that the event of the mail is parked. It lists the parked event and retries it.
func (m *mailerProcess) checkParked(service *replica, server *mailtest.Server) {
	m.t.Helper()
	server.Answer(func(command string) error {
		if command == "RCPT" {
			return mailtest.Refuse(550, 5)
		}
		return nil
	})
	service.must(http.MethodPost, "/password-reset", map[string]string{"email": "ada@example.com"}, nil)
	operator := func(flags ...string) string {
		cmd := exec.CommandContext(m.t.Context(), "user-service", append([]string{"mail"}, flags...)...)
		cmd.Env = m.env
		out, err := cmd.CombinedOutput()
		if err != nil {
			m.t.Fatalf("mail %q: %v: %s", flags, err, out)
		}
		return string(out)
	}
	var list string
	testkit.WaitFor(m.t, "a parked event", func() bool {
		list = operator("--parked")
		return strings.Contains(list, "user.password_reset_requested")
	})
	const reason = "the mail server refuses the mail: RCPT TO command: 550 5.1.1"
	if !strings.Contains(list, reason) || strings.Contains(list, "@example.com") {
		m.t.Errorf("the list of parked events is\n%s\nwant the reason %q and no address", list, reason)
	}
	var parked []parkedMail
	err := json.Unmarshal([]byte(operator("--parked", "-o", "json")), &parked)
	if err != nil || len(parked) != 1 || !strings.Contains(parked[0].Reason, reason) || parked[0].Attempts != 1 {
		m.t.Errorf("the parked events in JSON are %+v (%v), want one with its reason", parked, err)
	}
	server.Answer(nil)
	if out := operator("--retry-parked"); out != "1 events moved back to their queues\n" {
		m.t.Errorf("mail --retry-parked prints %s, want one event moved", out)
	}
	testkit.WaitFor(m.t, "the mail", func() bool { return len(server.Mails()) == 4 })
}
