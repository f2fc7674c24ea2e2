// Command floor is the smallest program that serves some requests of the user service: it verifies the token, runs one statement, and
// encodes the response. It has no sessions, permissions, limits, metrics, logs or validation. test/bench/compare measures how much more
// the service costs.
//
// DATABASE_URL is the database, JWT_SECRET signs the tokens, and AMQP_URL is the broker. The program creates its tables.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/jackc/pgx/v5/pgxpool"
	amqp "github.com/rabbitmq/amqp091-go"
)

const usage = `Usage: floor serve|relay [FLAGS]

  serve   serve POST /register, POST /login, GET /users/me and GET /users/{id}, and relay the events
  relay   only publish the events of the table outbox, until it is empty, and print their number

Example:
  DATABASE_URL=postgres://… AMQP_URL=amqp://… JWT_SECRET=… floor serve -listen 127.0.0.1:8080
  DATABASE_URL=postgres://… AMQP_URL=amqp://… floor relay -batch 500

Flags:
`

// config are the flags.
type config struct {
	listen string
	hashes int
	batch  int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1) //nolint:gocritic // stop only restores the signals
	}
}

func run(ctx context.Context, args []string) error {
	var cfg config
	flags := flag.NewFlagSet("floor", flag.ContinueOnError)
	flags.StringVar(&cfg.listen, "listen", "127.0.0.1:8080", "the `address` of serve")
	flags.IntVar(&cfg.hashes, "hashes", 2, "the maximum number of concurrent hashes")
	flags.IntVar(&cfg.batch, "batch", 100, "the maximum number of events in a batch of the relay")
	flags.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		flags.PrintDefaults()
	}
	if len(args) == 0 {
		args = []string{"-help"}
	}
	command := args[0]
	if command == "serve" || command == "relay" {
		args = args[1:]
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	db, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	defer db.Close()
	if _, err := db.Exec(ctx, schema); err != nil {
		return fmt.Errorf("create the tables: %w", err)
	}
	relay := newRelay(db, os.Getenv("AMQP_URL"), cfg.batch)
	switch command {
	case "serve":
		return serve(ctx, cfg, db, relay)
	case "relay":
		return relay.connected(func(channel *amqp.Channel) error {
			published, err := relay.drain(ctx, channel)
			fmt.Fprintln(os.Stdout, published, "events")
			return err
		})
	default:
		return fmt.Errorf("unknown command %q; floor -help lists the commands", command)
	}
}

func serve(ctx context.Context, cfg config, db *pgxpool.Pool, relay *relay) error {
	relaying := make(chan error, 1)
	go func() { relaying <- relay.run(ctx) }()
	a := &api{db: db, relay: relay, secret: []byte(os.Getenv("JWT_SECRET")), slots: make(chan struct{}, cfg.hashes)}
	server := &http.Server{Addr: cfg.listen, Handler: a.handler()} //nolint:gosec // no time limits: the smallest program
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-relaying
}
