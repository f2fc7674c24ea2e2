package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"user-service/pkg/config"
	"user-service/pkg/httpapi"
	"user-service/pkg/telemetry"
)

func serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the service until SIGTERM or Ctrl-C",
		Long: "serve serves the API on HTTP_ADDR and /metrics on METRICS_ADDR, and publishes events to RabbitMQ. It\n" +
			"starts even if the database, the schema or the broker is missing, and is ready without the broker.",
		Example: "  user-service serve",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var cfg config.Config
			if err := loadAll(cmd.Context(), &cfg); err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, telemetry.NewLogger(cmd.ErrOrStderr(), cfg.Log.Level))
		},
	}
}

// serve runs the service until ctx ends, and then shuts it down within cfg.HTTP.ShutdownTimeout.
func serve(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	starting := context.WithoutCancel(ctx) // after an early SIGTERM, run shuts down in order
	stopTracing, err := telemetry.StartTracing(starting, version, log)
	if err != nil {
		return usageError{err}
	}
	hashing, err := startHashing(cfg.Passwords, log)
	if err != nil {
		return err
	}
	defer hashing.Close()
	s, err := newService(starting, cfg, log, hashing)
	if err != nil {
		return err
	}
	l, err := listen(starting, cfg.HTTP)
	if err != nil {
		return err
	}
	log.Info("serving", "version", version, "api", l.api.Addr().String(), "metrics", l.metrics.Addr().String())
	s.stopTracing = stopTracing
	err = s.run(ctx, l)
	log.Info("stopped")
	return err
}

// listeners are the open ports.
type listeners struct{ api, metrics net.Listener }

func listen(ctx context.Context, cfg config.HTTP) (l listeners, err error) {
	if l.api, err = listenOn(ctx, "HTTP_ADDR", cfg.Addr); err != nil {
		return l, err
	}
	l.metrics, err = listenOn(ctx, "METRICS_ADDR", cfg.MetricsAddr)
	return l, err
}

func listenOn(ctx context.Context, variable, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; set it to a free address and port of this machine", variable, err)
	}
	return l, nil
}

// run serves until ctx ends. Then it shuts down in an order that loses nothing: first the requests and their responses, then their
// events, then the rest.
func (s *service) run(ctx context.Context, l listeners) error {
	handler := s.api.Handler()
	api := httpapi.Server(s.cfg.HTTP.Addr, handler, s.log)
	metrics := httpapi.Server(s.cfg.HTTP.MetricsAddr, operations(s.metrics.Handler(), handler, s.cfg.HTTP.PprofEnabled), s.log)
	l.api = httpapi.LimitConnections(api, l.api, debug.SetMemoryLimit(-1)) // probes and scrapes use the other port
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	relaying, stopRelay := context.WithCancel(background)

	var publisher, relay, others errgroup.Group
	publisher.Go(func() error { return s.publisher.Run(background) })
	others.Go(func() error { return s.cleaner.Run(background) })
	others.Go(func() error { s.users.KeepCostsCounted(background); return nil })
	others.Go(func() error { s.logCollisions(background); return nil })
	if s.workloads != nil {
		others.Go(func() error { s.workloads.Run(background); return nil })
	}
	watched := s.cfg // a copy, because the watcher changes it
	others.Go(func() error { s.watcher.Run(background, &watched); return nil })
	relay.Go(func() error { return s.relay.Run(relaying) })

	serving, failed := errgroup.WithContext(ctx)
	serving.Go(func() error { return serveOn(api, l.api) })
	serving.Go(func() error { return serveOn(metrics, l.metrics) })
	<-failed.Done() // ctx has ended, or a server has failed

	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.HTTP.ShutdownTimeout)
	defer cancel()
	s.drain(deadline, api)
	stopRelay()
	s.flush(deadline, &relay)
	_ = metrics.Close() // last, so that the metrics include the shutdown
	stopBackground()
	err := s.until(deadline, "the end of background work", func() error {
		return errors.Join(serving.Wait(), publisher.Wait(), others.Wait())
	})
	s.db.Close(deadline)
	if flushErr := s.stopTracing(deadline); flushErr != nil {
		s.log.Warn("the last traces were not exported", "error", flushErr)
	}
	return err
}

// serveOn serves until the server is shut down.
func serveOn(server *http.Server, l net.Listener) error {
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// collisionsRetry is the delay after an error, such as a schema that is too old.
const collisionsRetry = 5 * time.Second

// rolloutTime is how long replicas of an earlier version may run next to this one. Such replicas store email keys by other rules.
const rolloutTime = 15 * time.Minute

// logCollisions logs once which accounts have the same email. After rolloutTime it recomputes the email keys that replicas of earlier
// versions have stored.
func (s *service) logCollisions(ctx context.Context) {
	if !retry(ctx, func() error { return s.db.LogEmailCollisions(ctx, s.log) }) {
		return
	}
	since := time.Now().Add(-rolloutTime)
	select {
	case <-ctx.Done():
	case <-time.After(rolloutTime):
		retry(ctx, func() error { return s.db.RekeyEmails(ctx, since, s.log) })
	}
}

// retry repeats the call until it succeeds. It returns false if ctx ends first.
func retry(ctx context.Context, call func() error) bool {
	for call() != nil {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(collisionsRetry):
		}
	}
	return true
}

// until calls wait, and returns when wait returns or ctx ends.
func (s *service) until(ctx context.Context, what string, wait func() error) error {
	return until(ctx, s.log, what, wait)
}

func until(ctx context.Context, log *slog.Logger, what string, wait func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		log.Warn("the shutdown timed out", "for", what)
		return nil
	}
}

// withEarlierDeadline returns a context that ends d before the deadline of ctx, which must have one.
func withEarlierDeadline(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	deadline, _ := ctx.Deadline()
	return context.WithDeadline(ctx, deadline.Add(-d))
}

// afterRequests is the part of the shutdown after the last response. It has 2 s for the running batch of the
// relay, 1 s for the rest of the outbox, and closeTime.
func (s *service) afterRequests() time.Duration {
	return min(3*time.Second+closeTime, (s.cfg.HTTP.ShutdownTimeout-s.cfg.HTTP.ShutdownDelay)/2)
}

// closeTime bounds the close of the connection to the broker.
const closeTime = 2 * time.Second

// drain reports not ready, serves the requests that still arrive, and waits for the last responses.
func (s *service) drain(ctx context.Context, server *http.Server) {
	s.log.Info("shutting down", "delay", s.cfg.HTTP.ShutdownDelay.String())
	s.health.Drain()
	ctx, cancel := withEarlierDeadline(ctx, s.afterRequests())
	defer cancel()
	select {
	case <-time.After(s.cfg.HTTP.ShutdownDelay):
	case <-ctx.Done():
	}
	if err := server.Shutdown(ctx); err != nil {
		s.log.Warn("requests were aborted because the shutdown timed out", "error", err)
		_ = server.Close()
	}
	if err := s.users.Finish(ctx); err != nil {
		s.log.Warn("password resets were aborted because the shutdown timed out", "error", err)
	}
	if err := s.api.Finish(ctx); err != nil {
		s.log.Warn("audit entries of denied requests were aborted because the shutdown timed out", "error", err)
	}
}

// flush publishes the events of the last requests, if the broker is available.
func (s *service) flush(ctx context.Context, relay *errgroup.Group) {
	_ = s.until(ctx, "the relay's last batch", relay.Wait)
	ctx, cancel := withEarlierDeadline(ctx, min(closeTime, s.afterRequests()/2))
	defer cancel()
	if err := s.relay.Flush(ctx); err != nil {
		s.log.Info("events stay in the outbox for the next replica", "error", err)
	}
}

// operations returns the handler of the metrics port.
func operations(metrics, probes http.Handler, withPprof bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.Handle("/healthz", probes)
	mux.Handle("/readyz", probes)
	if withPprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}
