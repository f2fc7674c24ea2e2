package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"user-service/pkg/config"
	"user-service/pkg/rabbitmq"
	"user-service/pkg/telemetry"
)

// parkedMail is a parked event of the mailer in JSON. Members without a value are absent.
type parkedMail struct {
	ID             string `json:"id,omitempty"`
	Type           string `json:"type,omitempty"`
	FirstAttemptAt string `json:"first_attempt_at,omitempty"`
	ParkedAt       string `json:"parked_at,omitempty"`
	Attempts       int64  `json:"attempts"`
	Reason         string `json:"reason"`
}

// listParkedMails prints the parked events of the mailer, without addresses and tokens.
func listParkedMails(cmd *cobra.Command, output string) error {
	broker, log, err := operatorBroker(cmd)
	if err != nil {
		return err
	}
	var parked []rabbitmq.ParkedMessage
	for _, queue := range mailQueues() {
		list, err := rabbitmq.Parked(cmd.Context(), broker, queue, log)
		if err != nil {
			return fmt.Errorf("list the parked events: %w", err)
		}
		parked = append(parked, list...)
	}
	out := newList(cmd.OutOrStdout(), output, "EVENT", "TYPE", "FIRST ATTEMPT", "PARKED", "ATTEMPTS", "REASON")
	for _, p := range parked {
		m := parkedMail{p.ID, p.Type, p.First, p.ParkedAt, p.Attempts, cmp.Or(p.Reason, "delivered too often without an acknowledgement")}
		err := out.add(m, cmp.Or(m.ID, "-"), cmp.Or(m.Type, "-"), cmp.Or(m.FirstAttemptAt, "-"),
			cmp.Or(m.ParkedAt, "-"), m.Attempts, m.Reason)
		if err != nil {
			return err
		}
	}
	return out.end()
}

// retryParkedMails moves the parked events of the mailer back to their queues.
func retryParkedMails(cmd *cobra.Command) error {
	broker, log, err := operatorBroker(cmd)
	if err != nil {
		return err
	}
	var moved int
	var failed error
	for _, queue := range mailQueues() {
		n, err := rabbitmq.RetryParked(cmd.Context(), broker, queue, log)
		moved, failed = moved+n, errors.Join(failed, err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d events moved back to their queues\n", moved)
	if failed != nil {
		return fmt.Errorf("retry the parked events: %w", failed)
	}
	return nil
}

// operatorBroker reads the settings of the broker for a command of an operator.
func operatorBroker(cmd *cobra.Command) (rabbitmq.Broker, *slog.Logger, error) {
	var env struct{ RabbitMQ config.RabbitMQ }
	if err := load(&env); err != nil {
		return rabbitmq.Broker{}, nil, err
	}
	return brokerOf(env.RabbitMQ), telemetry.NewLogger(cmd.ErrOrStderr(), slog.LevelWarn), nil
}
