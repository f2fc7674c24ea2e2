package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"user-service/pkg/config"
	"user-service/pkg/rabbitmq"
	"user-service/pkg/telemetry"
)

func eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "events", Short: "Watch events, announce users again, or manage refused events",
		Example: "  user-service events tail", Args: noArgs, RunE: group,
	}
	cmd.AddCommand(eventsTailCommand(), eventsReplayCommand(), eventsParkedCommand(), eventsRetryCommand())
	return cmd
}

func eventsTailCommand() *cobra.Command {
	var key string
	var showTokens bool
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print events as they arrive from RabbitMQ, one per line",
		Long: "tail prints the events that are published from now on, each as a line of JSON. It uses a temporary queue of\n" +
			"its own, so no other consumer misses an event. Ctrl-C ends it.\n" +
			"One-time tokens are hidden, because anyone with a token can take over the account. --show-tokens prints them.",
		Example: "  user-service events tail\n  user-service events tail --type user.deleted | jq .subject",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var env struct{ RabbitMQ config.RabbitMQ }
			if err := load(&env); err != nil {
				return err
			}
			log := telemetry.NewLogger(cmd.ErrOrStderr(), slog.LevelWarn)
			return rabbitmq.Tail(cmd.Context(), brokerOf(env.RabbitMQ), log, rabbitmq.Subscription{
				BindingKey: key,
				Handle: func(body []byte, _ string) error {
					if !showTokens {
						body = hideTokens(body)
					}
					_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", escapeControls(body))
					return err
				},
				Connected: func() { fmt.Fprintf(cmd.ErrOrStderr(), "waiting for events on %s; Ctrl-C ends\n", rabbitmq.Exchange) },
			})
		},
	}
	cmd.Flags().StringVar(&key, "type", "#", "only events of this type; * stands for one word, # for any")
	cmd.Flags().BoolVar(&showTokens, "show-tokens", false, "print one-time tokens, which open accounts")
	return cmd
}

func brokerOf(c config.RabbitMQ) rabbitmq.Broker {
	return rabbitmq.Broker{
		Host: c.Host, Port: c.Port, User: c.User, Password: c.Password.Reveal(), Vhost: c.Vhost,
		TLS: c.TLS, CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile,
	}
}
