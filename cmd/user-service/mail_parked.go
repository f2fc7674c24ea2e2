package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"user-service/pkg/config"
	"user-service/pkg/rabbitmq"
	"user-service/pkg/telemetry"
)

// listParkedMails prints the parked events of the mailer, without addresses and tokens.
func listParkedMails(cmd *cobra.Command) error {
	broker, log, err := operatorBroker(cmd)
	if err != nil {
		return err
	}
	var list []rabbitmq.ParkedMessage
	for _, queue := range mailQueues() {
		parked, err := rabbitmq.Parked(cmd.Context(), broker, queue, log)
		if err != nil {
			return fmt.Errorf("list the parked events: %w", err)
		}
		list = append(list, parked...)
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "EVENT\tTYPE\tFIRST ATTEMPT\tPARKED\tATTEMPTS\tREASON")
	for _, m := range list {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\n", cmp.Or(m.ID, "-"), cmp.Or(m.Type, "-"), cmp.Or(m.First, "-"), cmp.Or(m.ParkedAt, "-"),
			m.Attempts, cmp.Or(m.Reason, "delivered too often without an acknowledgement"))
	}
	return table.Flush()
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
