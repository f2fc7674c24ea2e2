package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	netmail "net/mail"
	"net/url"
	"time"

	"github.com/sethvargo/go-envconfig"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"user-service/pkg/config"
	"user-service/pkg/httpapi"
	"user-service/pkg/mail"
	"user-service/pkg/postgres"
	"user-service/pkg/telemetry"
)

// mailConns is the number of the mailer's database connections. Each mail needs one for some milliseconds.
const mailConns = 2

func mailCommand() *cobra.Command {
	var list, again bool
	var output *string
	cmd := &cobra.Command{
		Use:   "mail",
		Short: "Send the mails that belong to events until SIGTERM or Ctrl-C",
		Long: "mail sends links with one-time tokens, and notices about changed accounts, to the mail server at SMTP_URL.\n" +
			"It gets the events from two durable queues, " + urgentMailQueue + " and " + mailQueue + ".\n" +
			"Several mailers share the queues. It answers /metrics, /healthz and /readyz on METRICS_ADDR.\n" +
			"An event whose mail the server refuses, or does not accept for a day, is parked. --parked lists such\n" +
			"events, and --retry-parked moves them back to their queues.",
		Example: "  SMTP_URL=file:///tmp/mails MAIL_FROM=shop@example.com MAIL_LINKS_BASE_URL=http://localhost:3000 user-service mail\n" +
			"  user-service mail --parked",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case list && again:
				return usageError{errors.New("set only one of --parked and --retry-parked")}
			case list:
				return listParkedMails(cmd, *output)
			case again:
				return retryParkedMails(cmd)
			}
			var cfg config.Mailer
			if err := loadAll(cmd.Context(), &cfg); err != nil {
				return err
			}
			return sendMails(cmd.Context(), cfg, telemetry.NewLogger(cmd.ErrOrStderr(), cfg.Log.Level))
		},
	}
	cmd.Flags().BoolVar(&list, "parked", false, "list the parked events, and exit")
	cmd.Flags().BoolVar(&again, "retry-parked", false, "move the parked events back to their queues, and exit")
	output = addOutput(cmd)
	return cmd
}

// sendMails runs the mailer until ctx ends, and then shuts it down within cfg.HTTP.ShutdownTimeout.
func sendMails(ctx context.Context, cfg config.Mailer, log *slog.Logger) error {
	starting := context.WithoutCancel(ctx) // after an early SIGTERM, run shuts down in order
	m, err := newMailer(starting, cfg, log)
	if err != nil {
		return err
	}
	if m.stopTracing, err = telemetry.StartTracing(starting, version, log); err != nil {
		return usageError{err}
	}
	l, err := listenOn(starting, "METRICS_ADDR", cfg.HTTP.MetricsAddr)
	if err != nil {
		return err
	}
	log.Info("sending mails", "version", version, "metrics", l.Addr().String())
	err = m.run(ctx, l)
	log.Info("stopped")
	return err
}

// mailer has all components of the command mail.
type mailer struct {
	cfg         config.Mailer
	log         *slog.Logger
	db          *postgres.DB
	transport   *mail.Transport
	consumers   mailConsumers
	health      *httpapi.Health
	metrics     *telemetry.MailMetrics
	watcher     *config.Watcher
	stopTracing func(context.Context) error
}

// newMailer creates all components. It works while the database, the broker and the mail server are unavailable.
func newMailer(ctx context.Context, cfg config.Mailer, log *slog.Logger) (*mailer, error) {
	m := &mailer{cfg: cfg, log: log, metrics: telemetry.NewMailMetrics(version, mailKinds(), mail.Results())}
	templates, err := mail.LoadTemplates(cfg.Mail.TemplatesDir, siteOf(cfg.Mail))
	if err != nil {
		return nil, usageError{fmt.Errorf("MAIL_TEMPLATES_DIR: %w", err)}
	}
	if m.transport, err = mail.NewTransport(cfg.Mail.URL.Reveal()); err != nil {
		return nil, usageError{fmt.Errorf("SMTP_URL: %w", err)}
	}
	from, err := netmail.ParseAddress(cfg.Mail.From)
	if err != nil {
		return nil, usageError{errors.New("MAIL_FROM: is not an address")}
	}
	m.db, err = postgres.Open(ctx, postgres.Config{URL: cfg.Database.URL.Reveal(), MaxConns: mailConns, Observer: m.metrics}, nil)
	if err != nil {
		return nil, usageError{fmt.Errorf("DATABASE_URL: %w", err)}
	}
	sender := mail.New(m.db, templates, m.transport, mail.Config{From: *from, Log: log, Observer: m.metrics})
	m.consumers = m.newConsumers(sender)
	required, err := postgres.RequiredSchema()
	if err != nil {
		return nil, err
	}
	m.health = httpapi.NewHealth(m.log, m.checks(required)...)
	m.watcher = m.newWatcher(envconfig.OsLookuper(), 0)
	return m, nil
}

// siteOf returns the name of the product and the URL that the templates show.
func siteOf(cfg config.Mail) mail.Site {
	name := cfg.ProductName
	if base, err := url.Parse(cfg.LinksBaseURL); err == nil {
		name = cmp.Or(name, base.Hostname())
	}
	return mail.Site{Product: name, URL: cfg.LinksBaseURL}
}

func mailKinds() []string {
	var out []string
	for _, kind := range mail.Kinds() {
		out = append(out, string(kind))
	}
	return out
}

// grace is the time for mails in progress at a shutdown. The rest of the shutdown timeout is for closing the connections.
func (m *mailer) grace() time.Duration {
	return max(m.cfg.HTTP.ShutdownTimeout-closeTime-time.Second, m.cfg.HTTP.ShutdownTimeout/2)
}

// checks returns the readiness checks. Their errors are public. They do not check the privileges of the service, because the mailer's
// database role may have fewer privileges.
func (m *mailer) checks(required int64) []httpapi.Check {
	return []httpapi.Check{
		{Name: "database", Run: func(ctx context.Context) error { return publicError(m.db.Ping(ctx)) }},
		{Name: "schema", Run: func(ctx context.Context) error {
			found, err := m.db.SchemaVersion(ctx)
			if err != nil {
				return fmt.Errorf("unknown: %w", publicError(err))
			}
			return checkSchema(found, required)
		}},
		{Name: "rabbitmq", Run: m.consumers.check},
		{Name: "smtp", Run: m.transport.Check, NonCritical: true}, // mails wait in the queues
	}
}

// newWatcher returns a watcher that applies new secrets from files.
func (m *mailer) newWatcher(env envconfig.Lookuper, interval time.Duration) *config.Watcher {
	handlers := config.Handlers{
		Database: func(ctx context.Context, d config.Database) error { return m.db.SetURL(ctx, d.URL.Reveal()) },
		RabbitMQ: func(ctx context.Context, q config.RabbitMQ) error { return m.consumers.setBroker(ctx, brokerOf(q)) },
		Mail:     func(_ context.Context, c config.Mail) error { return m.transport.SetURL(c.URL.Reveal()) },
	}
	return config.NewWatcher(env, handlers, config.WatcherConfig{
		Checks: secretChecks(), Interval: interval, Log: m.log, OnRejected: m.metrics.SecretsRejected,
	})
}

// run sends mails until ctx ends. Then it finishes the mails in progress.
func (m *mailer) run(ctx context.Context, l net.Listener) error {
	server := httpapi.Server(m.cfg.HTTP.MetricsAddr, operations(m.metrics.Handler(), m.health.Handler(), m.cfg.HTTP.PprofEnabled), m.log)
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	var others errgroup.Group
	others.Go(func() error {
		watched := m.cfg // a copy, because the watcher changes it
		m.watcher.Run(background, &watched)
		return nil
	})
	running, failed := errgroup.WithContext(ctx)
	running.Go(func() error { return serveOn(server, l) })
	consuming, stopConsuming := context.WithCancel(background)
	defer stopConsuming()
	var consumers errgroup.Group
	consumers.Go(func() error { return m.consumers.run(consuming) })
	<-failed.Done() // ctx has ended, or the server has failed

	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.cfg.HTTP.ShutdownTimeout)
	defer cancel()
	m.log.Info("shutting down")
	m.health.Drain()
	stopConsuming()
	err := until(deadline, m.log, "mails in progress", consumers.Wait)
	_ = server.Close() // after the last mail, so that the metrics include it
	stopBackground()
	err = errors.Join(err, until(deadline, m.log, "the end of background work", func() error {
		return errors.Join(running.Wait(), others.Wait())
	}))
	m.db.Close(deadline)
	if flushErr := m.stopTracing(deadline); flushErr != nil {
		m.log.Warn("the last traces were not exported", "error", flushErr)
	}
	return err
}
