package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/cobra"

	"user-service/pkg/config"
)

// The states of a check.
const (
	checkOK      = "ok"
	checkProblem = "problem"
	checkUnknown = "unknown" // the check can't be made
)

// checked is the result of a check.
type checked struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"` // how to fix a problem, or how to make the check
}

// doctor makes the checks of the command doctor, and collects their results.
type doctor struct {
	managementURL string
	log           *slog.Logger // of the broker's client
	results       []checked
}

func doctorCommand() *cobra.Command {
	var d doctor
	var output *string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the environment, the database, the broker and the keys, and say how to fix problems",
		Long: "doctor checks what the service needs: the environment; the database with its version, rights, schema and\n" +
			"clock; the broker with its rights, its exchange and the queues that are bound to it; the keys of tokens with\n" +
			"their age; and the number of secrets for each kind of data key. It changes no data and publishes nothing.\n" +
			"It declares the exchange, as the service does. After a problem it says how to fix it, and exits with 1.\n" +
			"A check that can't be made is unknown, which is not a problem. The queues are listed by the management API of RabbitMQ, if the broker's user may use it.",
		Example: "  user-service doctor\n  user-service doctor -o json | jq '.[] | select(.status == \"problem\")'",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.log = slog.New(slog.DiscardHandler)
			d.examine(cmd.Context())
			if err := d.print(cmd, *output); err != nil {
				return err
			}
			return d.verdict()
		},
	}
	output = addOutput(cmd)
	cmd.Flags().StringVar(&d.managementURL, "management-url", "",
		"URL of RabbitMQ's management API; by default port 15672 of the broker, or 15671 with TLS")
	return cmd
}

// checkTime bounds the checks of one server.
const checkTime = 10 * time.Second

// examine makes all checks. A check that depends on a failed one is left out.
func (d *doctor) examine(ctx context.Context) {
	d.checkEnvironment(ctx)
	var database struct{ Database config.Database }
	if d.loads("database", &database) {
		d.checkDatabase(ctx, database.Database)
	}
	var broker struct{ RabbitMQ config.RabbitMQ }
	if d.loads("broker", &broker) {
		d.checkBroker(ctx, broker.RabbitMQ)
	}
	var keys struct {
		Tokens   config.Tokens
		Database config.Database
	}
	if d.loads("keys", &keys) {
		d.checkKeys(ctx, keys.Tokens, keys.Database)
	}
	var data struct {
		DataKeys config.DataKeys
		Database config.Database
	}
	if d.loads("data keys", &data) {
		d.checkDataKeys(ctx, data.DataKeys, data.Database)
	}
}

// checkEnvironment reports each variable that is missing or invalid.
func (d *doctor) checkEnvironment(ctx context.Context) {
	var cfg config.Config
	var problems *config.Problems
	switch err := loadAll(ctx, &cfg); {
	case err == nil:
		d.ok("environment", "all variables are valid")
	case errors.As(err, &problems):
		for _, p := range problems.List {
			d.problem("environment", p.Name+" "+p.What, p.Do)
		}
	default:
		d.problem("environment", err.Error(), "correct the environment; user-service config lists its variables")
	}
}

// loads reads the variables of a group of checks. If it fails, checkEnvironment has reported the reason.
func (d *doctor) loads(group string, target any) bool {
	if err := config.Load(envconfig.OsLookuper(), target, secretChecks()...); err != nil {
		d.unknown(group, "not checked, because its variables are missing or invalid", "correct the environment first")
		return false
	}
	return true
}

func (d *doctor) ok(check, detail string) { d.add(check, checkOK, detail, "") }

func (d *doctor) problem(check, detail, fix string) { d.add(check, checkProblem, detail, fix) }

func (d *doctor) unknown(check, detail, fix string) { d.add(check, checkUnknown, detail, fix) }

func (d *doctor) add(check, status, detail, fix string) {
	d.results = append(d.results, checked{check, status, detail, fix})
}

// print prints all results. In a table, the advice follows below, because it is long.
func (d *doctor) print(cmd *cobra.Command, output string) error {
	out := newList(cmd.OutOrStdout(), output, "CHECK", "STATUS", "DETAIL")
	for _, r := range d.results {
		if err := out.add(r, r.Check, r.Status, r.Detail); err != nil {
			return err
		}
	}
	if err := out.end(); err != nil || output == asJSON {
		return err
	}
	for _, r := range d.results {
		if r.Status != checkProblem {
			continue
		}
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "\n%s: %s\nTo fix it: %s\n", r.Check, printable(r.Detail), printable(r.Fix)); err != nil {
			return err
		}
	}
	return nil
}

// verdict returns an error if there is a problem.
func (d *doctor) verdict() error {
	n := 0
	for _, r := range d.results {
		if r.Status == checkProblem {
			n++
		}
	}
	switch n {
	case 0:
		return nil
	case 1:
		return errors.New("doctor has found 1 problem")
	default:
		return fmt.Errorf("doctor has found %d problems", n)
	}
}
