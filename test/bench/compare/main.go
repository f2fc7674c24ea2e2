// Command compare measures how much slower the service is than the floor program, which does only what is unavoidable. It runs both
// programs in turn, round by round, so that a change of the machine's speed affects both.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

const usage = `Usage: compare [FLAGS]

compare runs the floor program (test/bench/floor) and the service in turn, under the same load on the same
machine. It prints the ratios of their figures as a table, and draws a picture. DATABASE_URL names a PostgreSQL
server on this machine, where it creates two databases and deletes them at the end. RABBITMQ_* and AMQP_URL name
the broker. It takes about 8 minutes.

Example:
  tools/dev/with-services go run ./test/bench/compare
  tools/dev/with-services go run ./test/bench/compare -rounds 10 -time 2s -only me,login

Flags:
`

// config are the flags.
type config struct {
	rounds  int
	during  time.Duration
	only    string
	program string
	picture string
	cpus    float64
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1) //nolint:gocritic // stop only restores the signals
	}
}

func run(ctx context.Context, args []string) error {
	var cfg config
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	flags.IntVar(&cfg.rounds, "rounds", 5, "how often each program runs each load")
	flags.DurationVar(&cfg.during, "time", 3*time.Second, "how long each load lasts")
	flags.StringVar(&cfg.only, "only", "", "the `names` of the loads, separated by commas: me, by id, login, register, storm (default all)")
	flags.StringVar(&cfg.program, "program", "", "`path` of a user-service to measure, such as an older one, in place of the one that is built")
	flags.StringVar(&cfg.picture, "picture", "", "`path` of a picture of the ratios, which ends in .png or .svg")
	flags.Float64Var(&cfg.cpus, "cpus", 0, "limit each program with its child processes to this number of CPUs by a control group; requires root")
	flags.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	selected, err := selectScenarios(cfg.only)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "building and starting both programs")
	b, err := start(ctx, cfg)
	if err != nil {
		return err
	}
	defer b.close()
	all, err := b.rounds(ctx, cfg, selected)
	if err != nil {
		return err
	}
	fmt.Fprint(os.Stdout, table(all))
	if cfg.picture == "" {
		return nil
	}
	return drawRatios(cfg.picture, all)
}

func selectScenarios(only string) (selected []scenario, err error) {
	for _, s := range scenarios() {
		if only == "" || containsName(only, s.name) {
			selected = append(selected, s)
		}
	}
	if len(selected) == 0 {
		err = fmt.Errorf("-only %s names no load; compare -help lists them", only)
	}
	return selected, err
}

func containsName(list, name string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(one) == name {
			return true
		}
	}
	return false
}

// comparison has the results of one scenario, by round.
type comparison struct {
	scenario
	floor, service []result
}

// rounds measures all scenarios in each round, and prints the progress. Every second round, the service comes first.
func (b *bench) rounds(ctx context.Context, cfg config, selected []scenario) ([]comparison, error) {
	all := make([]comparison, len(selected))
	began := time.Now()
	for round := range cfg.rounds {
		for i, s := range selected {
			all[i].scenario = s
			floor, service, err := b.pair(s, cfg.during, round%2 == 1)
			if err != nil {
				return nil, err
			}
			if ctx.Err() != nil {
				return nil, errors.New("interrupted")
			}
			all[i].floor, all[i].service = append(all[i].floor, floor), append(all[i].service, service)
			done, total := round*len(selected)+i+1, cfg.rounds*len(selected)
			left := time.Since(began) / time.Duration(done) * time.Duration(total-done)
			fmt.Fprintf(os.Stderr, "round %d of %d, %s: floor %.0f/s, service %.0f/s, ratio %.2f; %s left\n", round+1, cfg.rounds, s,
				floor.rate, service.rate, service.rate/floor.rate, left.Round(time.Second))
		}
	}
	return all, nil
}

// pair measures one scenario with both programs.
func (b *bench) pair(s scenario, during time.Duration, serviceFirst bool) (floor, service result, err error) {
	if serviceFirst {
		if service, err = b.measure(b.service, s, during); err == nil {
			floor, err = b.measure(b.floor, s, during)
		}
		return floor, service, err
	}
	if floor, err = b.measure(b.floor, s, during); err == nil {
		service, err = b.measure(b.service, s, during)
	}
	return floor, service, err
}
