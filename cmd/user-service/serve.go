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
		Long: "serve answers the API on HTTP_ADDR and /metrics on METRICS_ADDR, and publishes events to RabbitMQ. It\n" +
			"starts while database, schema or broker are still missing, and is ready when they are there.",
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

// serve runs the service until ctx ends, then shuts it down within the time that cfg allows.
func serve(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	starting := context.WithoutCancel(ctx) // an early SIGTERM finds a service that can be taken down in order
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
	listeners, err := listen(starting, cfg.HTTP)
	if err != nil {
		return err
	}
	log.Info("serving", "version", version, "api", listeners[0].Addr().String(), "metrics", listeners[1].Addr().String())
	s.stopTracing = stopTracing
	err = s.run(ctx, listeners)
	log.Info("stopped")
	return err
}

// listen opens the ports of the API and of the metrics.
func listen(ctx context.Context, cfg config.HTTP) ([2]net.Listener, error) {
	var out [2]net.Listener
	for i, at := range []struct{ name, addr string }{{"HTTP_ADDR", cfg.Addr}, {"METRICS_ADDR", cfg.MetricsAddr}} {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", at.addr)
		if err != nil {
			return out, fmt.Errorf("%s: %w; set it to an address and a port of this machine that are free", at.name, err)
		}
		out[i] = l
	}
	return out, nil
}

// run serves until ctx ends, and then takes the service down in an order that loses nothing:
// no more requests, the answers of those that run, the events of those, then the rest.
func (s *service) run(ctx context.Context, listeners [2]net.Listener) error {
	servers := [2]*http.Server{
		httpapi.Server(s.cfg.HTTP.Addr, s.api.Handler(), s.log),
		httpapi.Server(s.cfg.HTTP.MetricsAddr, s.operations(), s.log),
	}
	listeners[0] = httpapi.LimitConnections(servers[0], listeners[0], debug.SetMemoryLimit(-1)) // probes and scrapes use the other port
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()
	relaying, stopRelay := context.WithCancel(background)

	var publisher, relay, others errgroup.Group
	publisher.Go(func() error { return s.publisher.Run(background) })
	others.Go(func() error { return s.cleaner.Run(background) })
	others.Go(func() error { s.users.KeepCostsCounted(background); return nil })
	others.Go(func() error { s.logCollisions(background); return nil })
	others.Go(func() error { s.watcher.Run(background, s.cfg); return nil })
	relay.Go(func() error { return s.relay.Run(relaying) })

	serving, failed := errgroup.WithContext(ctx)
	for i, server := range servers {
		serving.Go(func() error {
			if err := server.Serve(listeners[i]); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve %s: %w", listeners[i].Addr(), err)
			}
			return nil
		})
	}
	<-failed.Done() // the end of ctx, or of a server

	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.HTTP.ShutdownTimeout)
	defer cancel()
	s.drain(deadline, servers[0])
	stopRelay()
	s.flush(deadline, &relay)
	_ = servers[1].Close() // only now: metrics tell of the shutdown too
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

// collisionsRetry is how soon collisions are read again after an error, such as that of a schema that is not ready yet.
const collisionsRetry = 5 * time.Second

// rolloutTime is how long replicas of an earlier version may serve before and beside this one. They store keys of emails by
// other rules.
const rolloutTime = 15 * time.Minute

// logCollisions logs once which accounts have an email that another account holds, and makes the keys of emails anew when the
// replicas of an earlier version have ended.
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

// retry calls until there is no error. It returns false if ctx ends before.
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

// until waits for something, but no longer than until ctx ends.
func (s *service) until(ctx context.Context, what string, wait func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		s.log.Warn("the shutdown's time is over; not waiting any longer", "for", what)
		return nil
	}
}

// withEarlierDeadline returns a context that ends so long before ctx does, which has a deadline.
func withEarlierDeadline(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	deadline, _ := ctx.Deadline()
	return context.WithDeadline(ctx, deadline.Add(-d))
}

// afterRequests is how much of the shutdown's time is kept for what comes after the last answer: 2 s
// for the relay's batch under way, 1 s for what is left in the outbox, and closeTime.
func (s *service) afterRequests() time.Duration {
	return min(3*time.Second+closeTime, (s.cfg.HTTP.ShutdownTimeout-s.cfg.HTTP.ShutdownDelay)/2)
}

// closeTime is what the publisher's farewell to the broker may take.
const closeTime = 2 * time.Second

// drain tells the load balancers to send no more, serves what they still send, and waits
// for the last answers.
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
		s.log.Warn("requests were cut off at the end of the shutdown's time", "error", err)
		_ = server.Close()
	}
	if err := s.users.Finish(ctx); err != nil {
		s.log.Warn("resets that were asked for were cut off at the end of the shutdown's time", "error", err)
	}
	if err := s.api.Finish(ctx); err != nil {
		s.log.Warn("entries of the audit trail about denied requests were cut off at the end of the shutdown's time", "error", err)
	}
}

// flush publishes what the last requests left in the outbox, if the broker takes it.
func (s *service) flush(ctx context.Context, relay *errgroup.Group) {
	_ = s.until(ctx, "the relay's last batch", relay.Wait)
	ctx, cancel := withEarlierDeadline(ctx, min(closeTime, s.afterRequests()/2))
	defer cancel()
	if err := s.relay.Flush(ctx); err != nil {
		s.log.Info("events stay in the outbox for the next instance", "error", err)
	}
}

// operations is the handler of the metrics port.
func (s *service) operations() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", s.metrics.Handler())
	api := s.api.Handler()
	mux.Handle("/healthz", api)
	mux.Handle("/readyz", api)
	if s.cfg.HTTP.PprofEnabled {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}
