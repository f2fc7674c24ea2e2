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
	checkUnknown = "unknown" // the check could not be made
)

// checkResult is the result of a check.
type checkResult struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"` // how to fix the problem, or to make the check possible
}

// doctor makes the checks of the command doctor and collects their results.
type doctor struct {
	managementURL string
	log           *slog.Logger // for the AMQP client
	results       []checkResult
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
			"A check that can't be made is unknown, which is not a problem. The queues are listed by the management API of\n" +
			"RabbitMQ, if the broker's user may use it.",
		Example: "  user-service doctor\n  user-service doctor -o json | jq '.[] | select(.status == \"problem\")'",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.log = slog.New(slog.DiscardHandler)
			d.examine(cmd.Context())
			if err := d.print(cmd, *output); err != nil {
				return err
			}
			return d.err()
		},
	}
	output = addOutput(cmd)
	cmd.Flags().StringVar(&d.managementURL, "management-url", "",
		"URL of RabbitMQ's management API; by default port 15672 of the broker, or 15671 with TLS")
	return cmd
}

// checkTime is the maximum time of the checks of one server.
const checkTime = 10 * time.Second

// examine makes all checks, except for those that depend on a failed check.
func (d *doctor) examine(ctx context.Context) {
	d.checkEnvironment(ctx)
	var database struct{ Database config.Database }
	if d.load("database", &database) {
		d.checkDatabase(ctx, database.Database)
	}
	var broker struct{ RabbitMQ config.RabbitMQ }
	if d.load("broker", &broker) {
		d.checkBroker(ctx, broker.RabbitMQ)
	}
	var keys struct {
		Tokens   config.Tokens
		Database config.Database
	}
	if d.load("keys", &keys) {
		d.checkKeys(ctx, keys.Tokens, keys.Database)
	}
	var data struct {
		DataKeys config.DataKeys
		Database config.Database
	}
	if d.load("data keys", &data) {
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

// load reads the variables that a group of checks needs. It returns false if a variable is missing or invalid, which checkEnvironment
// reports.
func (d *doctor) load(group string, target any) bool {
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
	d.results = append(d.results, checkResult{check, status, detail, fix})
}

// print prints all results. Below a table, it prints how to fix each problem.
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
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "\n%s: %s\nTo fix it: %s\n", r.Check, printable(r.Detail), printable(r.Fix))
		if err != nil {
			return err
		}
	}
	return nil
}

// err returns an error if a check has found a problem.
func (d *doctor) err() error {
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
