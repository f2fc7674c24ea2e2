package chaos_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/internal/testkit"
	"user-service/pkg/rabbitmq"
)

// TestDoctorChecksABroker changes the rights of users and the bindings of queues on a broker, and checks what the command doctor reports.
func TestDoctorChecksABroker(t *testing.T) { //nolint:paralleltest // it starts a broker in addition to the brokers of the schedules
	b := &exchanges{t: t, broker: newBroker(t, 1)}
	if err := b.up(); err != nil {
		t.Fatal(err)
	}
	management := testkit.FreeAddress(t)
	_, port, _ := net.SplitHostPort(management)
	b.operate(
		[]string{"rabbitmqctl", "eval", "application:set_env(rabbitmq_management, tcp_config, [{port, " + port +
			`}, {ip, "127.0.0.1"}], [{persistent, true}]).`},
		[]string{"rabbitmq-plugins", "enable", "rabbitmq_management"},
		[]string{"rabbitmqctl", "add_user", "writer", "writer"},
		[]string{"rabbitmqctl", "set_permissions", "writer", "^$", "^user_events$", "^$"},
	)
	testkit.WaitFor(t, "the management API", func() bool {
		_, err := rabbitmq.Bindings(t.Context(), b.settings("app", ""), "http://"+management)
		return !errors.Is(err, rabbitmq.ErrNoManagement)
	})

	b.wantDoctor("writer", management, "broker", "ok", "broker exchange", "problem")
	b.wantDoctor("app", management, "broker", "ok", "broker exchange", "ok", "broker rights", "ok", "broker queues", "problem")
	b.wantDoctor("writer", management, "broker", "ok", "broker exchange", "ok", "broker rights", "ok", "broker queues", "unknown")

	b.operate([]string{"rabbitmqctl", "set_permissions", "writer", "^$", "^$", "^$"})
	b.wantDoctor("writer", management, "broker", "ok", "broker exchange", "ok", "broker rights", "problem", "broker queues", "unknown")
	b.operate([]string{"rabbitmqctl", "set_permissions", "writer", "^$", "^user_events$", "^$"},
		[]string{"rabbitmqctl", "set_topic_permissions", "writer", "user_events", `^user\.created$`, "^$"})
	d := rabbitmq.Diagnose(t.Context(), b.settings("writer", ""), []string{"user.created", "user.deleted"}, slog.New(slog.DiscardHandler))
	if d.Write == nil || d.Type != "user.deleted" {
		t.Errorf("the diagnosis is %+v, want a refusal of user.deleted", d)
	}

	b.onExchange("", func(channel *amqp.Channel) error {
		_, err := channel.QueueDeclare("some", true, false, false, false, nil)
		return errors.Join(err, channel.QueueBind("some", "user.created", rabbitmq.Exchange, false, nil))
	})
	b.wantDoctor("app", management, "broker", "ok", "broker exchange", "ok", "broker rights", "ok", "broker queues", "problem")
	b.onExchange("", func(channel *amqp.Channel) error {
		return channel.QueueBind("some", "user.*", rabbitmq.Exchange, false, nil)
	})
	b.wantDoctor("app", management, "broker", "ok", "broker exchange", "ok", "broker rights", "ok", "broker queues", "ok")
	b.onExchange("", func(channel *amqp.Channel) error {
		queue, err := channel.QueueDeclarePassive("some", true, false, false, false, nil)
		if queue.Messages != 0 {
			t.Errorf("doctor has published %d messages, want none", queue.Messages)
		}
		return err
	})
}

// wantDoctor runs doctor as a user of the broker, while the database is unavailable. pairs are the names of checks and their wanted states.
// The first problem must say how to fix it.
func (b *exchanges) wantDoctor(user, management string, pairs ...string) {
	b.t.Helper()
	cfg := b.settings(user, "")
	cmd := exec.CommandContext(b.t.Context(), program, "doctor", "-o", "json", "--management-url", "http://"+management)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "DATABASE_URL=postgres://app@127.0.0.1:1/app", "RABBITMQ_HOST=" + cfg.Host,
		fmt.Sprint("RABBITMQ_PORT=", cfg.Port), "RABBITMQ_USER=" + cfg.User, "RABBITMQ_PASS=" + cfg.Password, "JWT_SECRET=" + newSecret(),
	}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		b.t.Fatalf("doctor as %s: %v\n%s", user, err, out)
	}
	var results []struct{ Check, Status, Detail, Fix string }
	if err := json.Unmarshal(out, &results); err != nil {
		b.t.Fatalf("doctor as %s prints %s: %v", user, out, err)
	}
	var got []string
	for _, r := range results {
		if strings.HasPrefix(r.Check, "broker") {
			got = append(got, r.Check, r.Status)
		}
		if r.Status == "problem" && (r.Detail == "" || r.Fix == "") {
			b.t.Errorf("doctor as %s: %+v, want a description and an advice", user, r)
		}
	}
	if strings.Join(got, ",") != strings.Join(pairs, ",") {
		b.t.Errorf("doctor as %s reports %v, want %v:\n%s", user, got, pairs, out)
	}
	if bytes.Contains(out, []byte(cfg.Password)) && len(cfg.Password) > len("writer") {
		b.t.Errorf("doctor prints the password: %s", out)
	}
}
