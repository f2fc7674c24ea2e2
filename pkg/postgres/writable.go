package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// writablePause is the time between two questions whether a new connection may write.
	writablePause = 250 * time.Millisecond
	// writableTime bounds one question.
	writableTime = time.Second
)

// writeWatch learns from the first refused write that connections are read-only. From then on it asks with new
// connections whether the server is writable, until it is: then it has all connections replaced. Until then reads go on.
// While no write is refused it does nothing.
type writeWatch struct {
	config  func() *pgx.ConnConfig // of a new connection
	replace func()                 // replaces all connections

	mu      sync.Mutex
	next    *writeState // nil while nothing is asked
	closing context.Context
	close   context.CancelFunc
	asking  sync.WaitGroup
}

// writeState is the answer to one question.
type writeState struct {
	known    chan struct{} // closed when the answer is there
	mayWrite bool
}

func newWriteWatch(config func() *pgx.ConnConfig, replace func()) *writeWatch {
	w := &writeWatch{config: config, replace: replace}
	w.closing, w.close = context.WithCancel(context.Background())
	return w
}

// refused starts the questions.
func (w *writeWatch) refused() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next == nil && w.closing.Err() == nil {
		w.next = &writeState{known: make(chan struct{})}
		w.asking.Go(w.run)
	}
}

// mayWrite returns the answer to the next question; false if ctx ends before.
func (w *writeWatch) mayWrite(ctx context.Context) bool {
	w.refused()
	w.mu.Lock()
	next := w.next
	w.mu.Unlock()
	if next == nil {
		return false
	}
	select {
	case <-next.known:
		return next.mayWrite
	case <-ctx.Done():
		return false
	}
}

func (w *writeWatch) run() {
	for {
		writable := w.ask()
		if writable {
			w.replace()
		}
		done := w.notify(writable)
		if done {
			return
		}
		select {
		case <-w.closing.Done():
		case <-time.After(writablePause):
		}
	}
}

// notify publishes an answer. It reports whether no more questions are needed.
func (w *writeWatch) notify(writable bool) (done bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next.mayWrite = writable
	close(w.next.known)
	if done = writable || w.closing.Err() != nil; done {
		w.next = nil
	} else {
		w.next = &writeState{known: make(chan struct{})}
	}
	return done
}

// ask reports whether new connections may write. Behind a pooler a new connection may get a session that was read-only
// before: such a session is ended, and the question put again.
func (w *writeWatch) ask() bool {
	ctx, cancel := context.WithTimeout(w.closing, writableTime)
	defer cancel()
	for ctx.Err() == nil {
		readOnly, ended, err := askNew(ctx, w.config())
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

// sessionState tells whether the session is read-only. It ends a session that is, and that is older than the last question.
const sessionState = `
	SELECT current_setting('transaction_read_only')::boolean,
		CASE WHEN current_setting('transaction_read_only')::boolean AND backend_start < now() - interval '250 ms'
			THEN pg_terminate_backend(pid) ELSE false END
	FROM pg_stat_activity WHERE pid = pg_backend_pid()`

func askNew(ctx context.Context, cfg *pgx.ConnConfig) (readOnly, ended bool, err error) {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return false, false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	err = conn.QueryRow(ctx, sessionState, pgx.QueryExecModeSimpleProtocol).Scan(&readOnly, &ended)
	return readOnly, ended || hasCode(err, "57P01") || err != nil && conn.IsClosed() && ctx.Err() == nil, err
}

// watchRefusals has the watch told of each refused write on a connection.
func (w *writeWatch) watchRefusals(cfg *pgx.ConnConfig) {
	keep := cfg.OnPgError
	cfg.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		if err.Code == "25006" {
			w.refused()
		}
		return keep(conn, err)
	}
}

// stop ends the questions.
func (w *writeWatch) stop() {
	w.close()
	w.asking.Wait()
}
