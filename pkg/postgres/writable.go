package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// writeCheckInterval is the time between two checks. A check finds out whether a new connection may write.
	writeCheckInterval = 250 * time.Millisecond
	// writeCheckTimeout is the maximum time of one check.
	writeCheckTimeout = time.Second
)

// writeWatch starts checks when the server refuses a write because the connection is read-only. Each check opens a new connection. When
// this new connection may write, writeWatch replaces all connections and ends the checks. During the checks, reads continue to work.
type writeWatch struct {
	config  func() *pgx.ConnConfig // returns the configuration of a new connection
	replace func()                 // replaces all connections

	mu      sync.Mutex
	next    *writeCheck // nil while no checks run
	closing context.Context
	close   context.CancelFunc
	running sync.WaitGroup
}

// writeCheck is the result of a check, for all goroutines that wait for it.
type writeCheck struct {
	done     chan struct{} // closed when mayWrite is set
	mayWrite bool
}

func newWriteWatch(config func() *pgx.ConnConfig, replace func()) *writeWatch {
	w := &writeWatch{config: config, replace: replace}
	w.closing, w.close = context.WithCancel(context.Background())
	return w
}

// start starts the checks, unless they already run.
func (w *writeWatch) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next == nil && w.closing.Err() == nil {
		w.next = &writeCheck{done: make(chan struct{})}
		w.running.Go(w.run)
	}
}

// mayWrite waits for the next check, and reports whether new connections may write. It returns false if ctx ends first.
func (w *writeWatch) mayWrite(ctx context.Context) bool {
	w.start()
	w.mu.Lock()
	next := w.next
	w.mu.Unlock()
	if next == nil {
		return false
	}
	select {
	case <-next.done:
		return next.mayWrite
	case <-ctx.Done():
		return false
	}
}

// run checks until a new connection may write, or w is stopped.
func (w *writeWatch) run() {
	for {
		writable := w.check()
		if writable {
			w.replace()
		}
		done := w.notify(writable)
		if done {
			return
		}
		select {
		case <-w.closing.Done():
		case <-time.After(writeCheckInterval):
		}
	}
}

// notify publishes the result of a check. It reports whether the checks can end.
func (w *writeWatch) notify(writable bool) (done bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next.mayWrite = writable
	close(w.next.done)
	if done = writable || w.closing.Err() != nil; done {
		w.next = nil
	} else {
		w.next = &writeCheck{done: make(chan struct{})}
	}
	return done
}

// check reports whether new connections may write. Behind a pooler, a new connection may get an old session that is still read-only.
// check ends such a session and retries.
func (w *writeWatch) check() bool {
	ctx, cancel := context.WithTimeout(w.closing, writeCheckTimeout)
	defer cancel()
	for ctx.Err() == nil {
		readOnly, ended, err := checkNew(ctx, w.config())
		switch {
		case ended:
		case err != nil:
			return false
		default:
			return !readOnly
		}
	}
	return false
}

// sessionState selects whether the session is read-only. It ends a read-only session that is older than writeCheckInterval.
const sessionState = `
	SELECT current_setting('transaction_read_only')::boolean,
		CASE WHEN current_setting('transaction_read_only')::boolean AND backend_start < now() - interval '250 ms'
			THEN pg_terminate_backend(pid) ELSE false END
	FROM pg_stat_activity WHERE pid = pg_backend_pid()`

// checkNew opens a connection. It reports whether the session of this connection is read-only, and whether sessionState has ended the
// session.
func checkNew(ctx context.Context, cfg *pgx.ConnConfig) (readOnly, ended bool, err error) {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return false, false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	err = conn.QueryRow(ctx, sessionState, pgx.QueryExecModeSimpleProtocol).Scan(&readOnly, &ended)
	return readOnly, ended || hasCode(err, "57P01") || err != nil && conn.IsClosed() && ctx.Err() == nil, err
}

// watch makes each refused write of a new connection start the checks.
func (w *writeWatch) watch(cfg *pgx.ConnConfig) {
	keep := cfg.OnPgError
	cfg.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		if err.Code == "25006" {
			w.start()
		}
		return keep(conn, err)
	}
}

// stop ends the checks.
func (w *writeWatch) stop() {
	w.close()
	w.running.Wait()
}
