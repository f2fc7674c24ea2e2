package main

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"user-service/pkg/event"
	"user-service/pkg/outbox"
	"user-service/pkg/postgres"
)

// parkedPage is the number of events that one query reads.
const parkedPage = 500

func eventsParkedCommand() *cobra.Command {
	var output *string
	cmd := &cobra.Command{
		Use:   "parked",
		Short: "List the events that the broker has refused 20 times in a row",
		Long: "parked lists the events that the broker has refused 20 times in a row, oldest first. Each is retried every\n" +
			"10 minutes, and blocks the later events of its user. events retry retries all of them now.",
		Example: "  user-service events parked\n  user-service events parked -o json | jq -r '.[].reason' | sort | uniq -c",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDatabase(cmd, func(db *postgres.DB) error { return listParked(cmd, db, *output) })
		},
	}
	output = addOutput(cmd)
	return cmd
}

func eventsRetryCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "retry",
		Short: "Retry all refused events now",
		Long: "retry makes all refused events due now, parked or not. The running service publishes them within about a\n" +
			"second, and then the later events of their users.",
		Example: "  user-service events retry",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDatabase(cmd, func(db *postgres.DB) error {
				n, err := db.RetryEvents(cmd.Context())
				if err != nil {
					return plainly(err)
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d events will be retried\n", n)
				return err
			})
		},
	}
}

func listParked(cmd *cobra.Command, db *postgres.DB, output string) error {
	out := newList(cmd.OutOrStdout(), output, "ID", "TYPE", "USER", "TIME", "PARKED", "REFUSALS", "RETRY", "BEHIND", "REASON")
	for after := int64(0); ; {
		page, err := db.ParkedEvents(cmd.Context(), after, parkedPage)
		if err != nil {
			return plainly(err)
		}
		for _, p := range page {
			if err := addParked(out, p); err != nil {
				return err
			}
			after = p.Position
		}
		if len(page) < parkedPage {
			return out.end()
		}
	}
}

// parkedEvent is a parked event in JSON.
type parkedEvent struct {
	ID       uuid.UUID  `json:"id"`
	Type     event.Type `json:"type"`
	UserID   uuid.UUID  `json:"user_id"`
	Time     time.Time  `json:"time"`
	ParkedAt time.Time  `json:"parked_at"`
	RetryAt  time.Time  `json:"retry_at"`
	Refusals int        `json:"refusals"`
	Behind   int64      `json:"behind"` // later events of the user that it blocks
	Reason   string     `json:"reason"`
}

func addParked(out list, p outbox.Parked) error {
	e := parkedEvent{
		ID: p.ID, Type: p.Type, UserID: p.Subject, Time: p.Time.UTC(), ParkedAt: p.ParkedAt.UTC(), RetryAt: p.RetryAt.UTC(),
		Refusals: p.Refusals, Behind: p.Behind, Reason: p.Reason,
	}
	return out.add(e, e.ID, e.Type, e.UserID, e.Time.Format(time.RFC3339), e.ParkedAt.Format(time.RFC3339), e.Refusals,
		e.RetryAt.Format(time.RFC3339), e.Behind, e.Reason)
}
