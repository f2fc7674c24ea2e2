package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
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
	var output string
	cmd := &cobra.Command{
		Use:   "parked",
		Short: "List the events that the broker has refused 20 times in a row",
		Long: "parked lists the events that the broker has refused 20 times in a row, oldest first. Each is retried every\n" +
			"10 minutes, and blocks the later events of its user. events retry retries all of them now.",
		Example: "  user-service events parked\n  user-service events parked -o json | jq -r '.[].reason' | sort | uniq -c",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out parkedWriter
			switch output {
			case "table":
				out = newParkedTable(cmd.OutOrStdout())
			case "json":
				out = &parkedArray{out: cmd.OutOrStdout()}
			default:
				return usageError{errors.New("--output must be table or json")}
			}
			return withDatabase(cmd, func(db *postgres.DB) error { return listParked(cmd, db, out) })
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
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

// parkedWriter prints parked events.
type parkedWriter interface {
	write(outbox.Parked) error
	end() error
}

func listParked(cmd *cobra.Command, db *postgres.DB, out parkedWriter) error {
	for after := int64(0); ; {
		page, err := db.ParkedEvents(cmd.Context(), after, parkedPage)
		if err != nil {
			return plainly(err)
		}
		for _, p := range page {
			if err := out.write(p); err != nil {
				return err
			}
			after = p.Position
		}
		if len(page) < parkedPage {
			return out.end()
		}
	}
}

type parkedTable struct{ *tabwriter.Writer }

func newParkedTable(out io.Writer) parkedTable {
	table := parkedTable{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	fmt.Fprintln(table, "ID\tTYPE\tUSER\tTIME\tPARKED\tREFUSALS\tRETRY\tBEHIND\tREASON")
	return table
}

func (t parkedTable) write(p outbox.Parked) error {
	_, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%d\t%s\n", p.ID, p.Type, p.Subject, p.Time.UTC().Format(time.RFC3339),
		p.ParkedAt.UTC().Format(time.RFC3339), p.Refusals, p.RetryAt.UTC().Format(time.RFC3339), p.Behind, p.Reason)
	return err
}

func (t parkedTable) end() error { return t.Flush() }

// parkedArray prints a JSON array, event by event.
type parkedArray struct {
	out     io.Writer
	started bool
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

func (a *parkedArray) write(p outbox.Parked) error {
	line, err := json.Marshal(parkedEvent{
		ID: p.ID, Type: p.Type, UserID: p.Subject, Time: p.Time.UTC(), ParkedAt: p.ParkedAt.UTC(), RetryAt: p.RetryAt.UTC(),
		Refusals: p.Refusals, Behind: p.Behind, Reason: p.Reason,
	})
	if err != nil {
		return fmt.Errorf("print a parked event: %w", err)
	}
	separator := ",\n"
	if !a.started {
		separator = "["
	}
	a.started = true
	_, err = fmt.Fprintf(a.out, "%s%s", separator, line)
	return err
}

func (a *parkedArray) end() error {
	text := "]\n"
	if !a.started {
		text = "[]\n"
	}
	_, err := io.WriteString(a.out, text)
	return err
}
