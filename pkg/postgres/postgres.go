// Package postgres stores all data in PostgreSQL. It contains all queries of the service, and implements the stores of package user and
// package outbox.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
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

// connectTimeout is the maximum time of an attempt to connect, unless the URL sets another timeout. It is less than the maximum time of a
// request, which is 2 seconds.
const connectTimeout = 1500 * time.Millisecond

// loginShare reserves every fourth connection for logins. A login uses a connection for a few milliseconds, and a hash takes tens of
// milliseconds. So a few connections are enough for all logins whose passwords the service can hash.
const loginShare = 4

// Config configures a DB.
type Config struct {
	URL string // a connection URL or key=value string (libpq, pgx)
	// MaxConns is the maximum number of connections, in addition to the connection of Ping and SchemaVersion. 0 means the value in the
	// URL, or pgx's default. With 3 or more, a quarter of the connections (at least one) is reserved for logins.
	MaxConns int32
	Observer QueryObserver // nil: none
	// MinConns is the number of connections that are opened in advance, because opening a connection costs PostgreSQL tens of
	// milliseconds. With 0, the slowest reads at the beginning of many concurrent logins took 25 to 250 ms. With half of MaxConns, they
	// took 15 to 35 ms.
	MinConns int32
}

// DB is a client of the database. It is safe for concurrent use.
type DB struct {
	pool     *pool
	logins   *pool // reserved for logins, so that other requests cannot delay them
	probe    *probe
	writes   *writeWatch
	target   atomic.Pointer[pgx.ConnConfig] // the configuration of new connections
	observer QueryObserver

	accounts user.Serializer[account]
	sessions user.Serializer[uuid.UUID]
	logouts  user.Serializer[uuid.UUID] // logouts by refresh token; separate from sessions, so that refreshes cannot delay them
	attempts user.Serializer[string]
	roles    user.Serializer[string]

	roleChanges *semaphore.Weighted
}

// Open returns a DB and does not wait for the database. The DB calls committed, which may be nil, after each transaction that stored
// events.
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
	if poolConfig.MaxConns < 3 { // one connection for the relay, and one for all requests
		reserved = 0
	}
	db := &DB{observer: cfg.Observer, roleChanges: semaphore.NewWeighted(maxRoleChanges)}
	poolConfig.ConnConfig.Tracer = db.tracer()
	db.target.Store(poolConfig.ConnConfig)
	db.writes = newWriteWatch(db.connConfig, db.replace)
	poolConfig.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		*c = *db.connConfig()
		db.writes.watch(c)
		return nil
	}
	if err := db.openPools(ctx, poolConfig, reserved, committed); err != nil {
		return nil, fmt.Errorf("open the database pool: %w", err)
	}
	db.probe = newProbe(&db.target, db.connConfig)
	return db, nil
}

// connConfig returns the configuration of a new connection. It reads the certificates again, because they can be replaced while the service
// runs.
func (db *DB) connConfig() *pgx.ConnConfig {
	cfg := db.target.Load().Copy()
	if url := cfg.ConnString(); namesFiles(url) {
		if again, err := pgx.ParseConfig(url); err == nil { // otherwise the previous certificates stay in use
			cfg.TLSConfig, cfg.Fallbacks = again.TLSConfig, again.Fallbacks
		}
	}
	boundCancel(cfg)
	return cfg
}

// replace replaces all connections. It closes each connection after its current query.
func (db *DB) replace() {
	db.pool.conns.Reset()
	db.logins.conns.Reset()
}

// openPools opens the pool of logins with the reserved connections, and the pool of all other requests with the rest.
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

// SetURL replaces all connections with new ones to url, for example after its password was rotated. It closes open connections after
// their current queries. If a test connection fails, SetURL changes nothing, and returns an error without any part of the URL.
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

// namesFiles reports whether a connection string names files with certificates, or the environment does so in PGSSLROOTCERT, PGSSLCERT or
// PGSSLKEY.
func namesFiles(url string) bool {
	for _, name := range []string{"sslrootcert", "sslcert", "sslkey"} {
		if strings.Contains(url, name) || os.Getenv("PG"+strings.ToUpper(name)) != "" {
			return true
		}
	}
	return false
}

// testConnection opens and closes a connection. Without this test, a wrong new password would replace a working one.
func testConnection(ctx context.Context, target *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, target.Copy())
	var server *pgconn.PgError
	switch {
	case err == nil:
		return conn.Close(ctx)
	case !errors.As(err, &server):
		return errors.New("leads to no server that answers")
	case server.Code == "53300": // too many connections, probably the service's own: the server has accepted the password
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

// Close closes each connection after its current query. If ctx ends first, Close returns, and the connections that are still in use stay
// open until the process ends.
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

// Ping returns an error if the database does not answer, or a pool is stuck. It does not wait for running requests: a busy replica
// should still receive requests.
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

// query runs a query with the connection of the probe. If this query fails, it uses a connection of the pool.
func (db *DB) query(ctx context.Context, run func(context.Context, *pgx.Conn) error) error {
	if err := db.probe.query(ctx, run); err == nil {
		return nil
	}
	return db.pool.with(ctx, func(conn *pgx.Conn) error { return run(ctx, conn) })
}

// Stat returns the statistics of the connection pool that serves all requests except logins.
func (db *DB) Stat() *pgxpool.Stat { return db.pool.conns.Stat() }

// inTx runs work in one transaction, see pool.inTx. It adds the operation to the error, see wrap.
func (db *DB) inTx(ctx context.Context, operation string, work func(*transaction) error) error {
	return inTx(ctx, db.pool, operation, work)
}

func inTx(ctx context.Context, p *pool, operation string, work func(*transaction) error) error {
	return wrap(operation, p.inTx(ctx, beginRequest, work))
}

func isUndefinedTable(err error) bool { return hasCode(err, "42P01") }
