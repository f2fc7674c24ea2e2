// Package postgres keeps everything that lasts: every line of SQL is here. It
// implements what package user and package outbox ask for.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/semaphore"

	"user-service/pkg/user"
)

// connectTimeout is how long one attempt to connect may take, if the URL does not
// say: requests have to be answered within 2 seconds.
const connectTimeout = 1500 * time.Millisecond

// loginShare is the part of the connections that is for logins alone: one in four. A login holds one for some
// milliseconds beside a hash of tens of them, so that a few serve as many logins as are hashed.
const loginShare = 4

// Config says where the database is.
type Config struct {
	URL string // a connection URL or key=value string (libpq, pgx)
	// MaxConns is the maximum number of connections, in addition to the connection of Ping and SchemaVersion. 0 means the value of the
	// URL, or pgx's default. A quarter of the connections is reserved for logins.
	MaxConns int32
	Observer QueryObserver // told of every query; nil: nobody is
	// MinConns are open before anybody needs them: to connect costs PostgreSQL tens of milliseconds of work. The slowest
	// reads at the beginning of a storm of logins took 25 to 250 ms without, 15 to 35 ms with half of the most.
	MinConns int32
}

// DB is the database. It is safe for concurrent use.
type DB struct {
	pool     *pool
	logins   *pool // what only logins use, so that no other request keeps anybody from logging in
	probe    *probe
	writes   *writeWatch
	target   atomic.Pointer[pgx.ConnConfig] // what new connections connect to
	observer QueryObserver

	accounts user.Serializer[account]
	sessions user.Serializer[uuid.UUID]
	logouts  user.Serializer[uuid.UUID] // by refresh tokens, so that refreshes keep nobody from ending the session
	attempts user.Serializer[string]
	roles    user.Serializer[string]

	roleChanges *semaphore.Weighted
}

// Open returns a DB; it does not wait for the database to be there. After each
// transaction that stored events it calls committed, which may be nil.
func Open(ctx context.Context, cfg Config, committed func()) (*DB, error) {
	poolConfig, err := parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	if committed == nil {
		committed = func() {}
	}
	if cfg.MaxConns > 0 {
		poolConfig.MaxConns = cfg.MaxConns
	}
	poolConfig.MinConns = max(poolConfig.MinConns, cfg.MinConns)
	reserved := max(poolConfig.MaxConns/loginShare, 1)
	if poolConfig.MaxConns < 3 { // the relay needs one, and so do requests
		reserved = 0
	}
	db := &DB{observer: cfg.Observer, roleChanges: semaphore.NewWeighted(maxRoleChanges)}
	poolConfig.ConnConfig.Tracer = db.tracer()
	db.target.Store(poolConfig.ConnConfig)
	db.writes = newWriteWatch(db.connConfig, db.replace)
	poolConfig.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		*c = *db.connConfig()
		db.writes.watchRefusals(c)
		return nil
	}
	if err := db.openPools(ctx, poolConfig, reserved, committed); err != nil {
		return nil, fmt.Errorf("open the database pool: %w", err)
	}
	db.probe = newProbe(&db.target)
	return db, nil
}

// connConfig returns how a new connection is made. Certificates are read again, since they can be replaced while the service runs.
func (db *DB) connConfig() *pgx.ConnConfig {
	cfg := db.target.Load().Copy()
	if url := cfg.ConnString(); namesFiles(url) {
		if again, err := pgx.ParseConfig(url); err == nil { // otherwise those of before are good for as long as they last
			cfg.TLSConfig, cfg.Fallbacks = again.TLSConfig, again.Fallbacks
		}
	}
	boundCancel(cfg)
	return cfg
}

// replace has all connections replaced, each as soon as its query has ended.
func (db *DB) replace() {
	db.pool.conns.Reset()
	db.logins.conns.Reset()
}

// openPools divides the connections between logins and all other requests.
func (db *DB) openPools(ctx context.Context, cfg *pgxpool.Config, reserved int32, committed func()) (err error) {
	forLogins := cfg.Copy()
	forLogins.MaxConns, forLogins.MinConns = reserved, min(cfg.MinConns, reserved)
	cfg.MaxConns -= reserved
	cfg.MinConns = min(cfg.MinConns, cfg.MaxConns)
	if db.pool, err = newPool(ctx, cfg, db.writes, committed); err != nil {
		return err
	}
	db.logins = db.pool
	if reserved == 0 {
		return nil
	}
	if db.logins, err = newPool(ctx, forLogins, db.writes, committed); err != nil {
		db.pool.conns.Close()
	}
	return err
}

// SetURL makes the connections from now on by another URL, such as one with a rotated password, if one
// can be made by it. Those that are open are closed as soon as their queries have ended. The error
// shows nothing of the URL.
func (db *DB) SetURL(ctx context.Context, url string) error {
	if url == db.target.Load().ConnString() {
		return nil
	}
	poolConfig, err := parse(url)
	if err != nil {
		return err
	}
	poolConfig.ConnConfig.Tracer = db.tracer()
	if err := testConnection(ctx, poolConfig.ConnConfig); err != nil {
		return err
	}
	db.target.Store(poolConfig.ConnConfig)
	db.replace()
	return nil
}

// namesFiles reports whether a connection string names files with certificates.
func namesFiles(url string) bool {
	return strings.Contains(url, "sslrootcert") || strings.Contains(url, "sslcert") || strings.Contains(url, "sslkey")
}

// testConnection makes a connection, as a password that does not work is worse than the one of yesterday.
func testConnection(ctx context.Context, target *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, target.Copy())
	var server *pgconn.PgError
	switch {
	case err == nil:
		return conn.Close(ctx)
	case !errors.As(err, &server):
		return errors.New("leads to no server that answers")
	case server.Code == "53300": // all connections are taken, by ourselves as likely as not
		return nil
	default:
		return fmt.Errorf("is refused by the server with the code %s", server.Code)
	}
}

func parse(url string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the database URL can't be parsed") // pgx's own message may show parts of it
	}
	if cfg.ConnConfig.ConnectTimeout == 0 || cfg.ConnConfig.ConnectTimeout > time.Minute {
		cfg.ConnConfig.ConnectTimeout = connectTimeout
	}
	setSessionParams(cfg.ConnConfig)
	return cfg, nil
}

// Close closes all connections, when their queries have ended. What is still open when ctx ends stays open until the
// process ends.
func (db *DB) Close(ctx context.Context) {
	var closing sync.WaitGroup
	for _, closeOne := range []func(){db.writes.stop, db.probe.close, db.pool.conns.Close, db.logins.conns.Close} {
		closing.Go(closeOne)
	}
	closed := make(chan struct{})
	go func() {
		closing.Wait()
		close(closed)
	}()
	select {
	case <-closed:
	case <-ctx.Done():
	}
}

// Ping reports whether the database answers and connections can be had. It waits for no request: a busy service is no
// reason to send requests elsewhere.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.query(ctx, func(ctx context.Context, conn *pgx.Conn) error { return conn.Ping(ctx) }); err != nil {
		return err
	}
	if err := db.logins.stuck(ctx); err != nil {
		return fmt.Errorf("get a connection for logins: %w", err)
	}
	if err := db.pool.stuck(ctx); err != nil {
		return fmt.Errorf("get a connection: %w", err)
	}
	return nil
}

// query puts a question by a connection of its own, or by one of the pool if the server refuses that one.
func (db *DB) query(ctx context.Context, question func(context.Context, *pgx.Conn) error) error {
	if err := db.probe.ask(ctx, question); err == nil {
		return nil
	}
	return db.pool.with(ctx, func(conn *pgx.Conn) error { return question(ctx, conn) })
}

// Stat returns the figures of the connection pool that all requests but logins share.
func (db *DB) Stat() *pgxpool.Stat { return db.pool.conns.Stat() }

// inTx runs work in one transaction, see pool.inTx. The error names the operation, doing.
func (db *DB) inTx(ctx context.Context, doing string, work func(*transaction) error) error {
	return inTx(ctx, db.pool, doing, work)
}

func inTx(ctx context.Context, p *pool, doing string, work func(*transaction) error) error {
	return wrap(doing, p.inTx(ctx, beginRequest, work))
}

func isUndefinedTable(err error) bool { return hasCode(err, "42P01") }
