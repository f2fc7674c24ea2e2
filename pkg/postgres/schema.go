package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"user-service/migrations"
)

// RequiredSchema returns the minimum version of the schema that this build requires: the version of its newest migration. Later
// migrations only add to the schema, so every higher version works too.
func RequiredSchema() (int64, error) {
	files, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("list the migrations: %w", errors.Join(err, fs.ErrNotExist))
	}
	newest, err := goose.NumericComponent(path.Base(files[len(files)-1]))
	return max(newest, emailKeysVersion), err
}

// SchemaVersion returns the version of the database's schema, or 0 without a schema. Errors: SetupError.
func (db *DB) SchemaVersion(ctx context.Context) (int64, error) {
	var version int64
	err := db.query(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&version)
	})
	switch {
	case isUndefinedTable(err):
		return 0, nil
	case hasCode(err, "42501"):
		return 0, SetupError("the service's role may not read goose_db_version; grant it SELECT")
	}
	return version, wrap("read the schema version", err)
}

// Migrator migrates the schema of a database up and down. A lock in the database ensures that only one process migrates at a time.
type Migrator struct {
	db       *sql.DB
	provider *goose.Provider
	log      *slog.Logger
}

// migrationConnectTimeout is the maximum time of an attempt to connect for migrations, unless the URL sets another timeout. It is longer
// than connectTimeout, because the database may just be starting. Without a timeout, pgx waits for two minutes.
const migrationConnectTimeout = 10 * time.Second

// NewMigrator returns a Migrator for the database at url. Its lock is a row with a lease, so that it works behind a pooler too.
func NewMigrator(url string, log *slog.Logger) (*Migrator, error) {
	cfg, err := pgxpool.ParseConfig(url) // as in Open, so that migrations accept the same URLs
	if err != nil {
		return nil, errors.New("the database URL can't be parsed")
	}
	if cfg.ConnConfig.ConnectTimeout == 0 || cfg.ConnConfig.ConnectTimeout > time.Minute {
		cfg.ConnConfig.ConnectTimeout = migrationConnectTimeout
	}
	setSessionParams(cfg.ConnConfig)
	db := sql.OpenDB(limitedConnector{stdlib.GetConnector(*cfg.ConnConfig), cfg.ConnConfig.ConnectTimeout})
	locker, err := lock.NewPostgresTableLocker(lock.WithTableLogger(log),
		lock.WithTableLeaseDuration(10*time.Second), lock.WithTableHeartbeatInterval(2*time.Second),
		lock.WithTableLockTimeout(time.Second, 300)) // another process that migrates retries every second, for at most 5 minutes
	if err != nil {
		return nil, fmt.Errorf("create the migration lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS,
		goose.WithLocker(locker), goose.WithSlog(log), goose.WithDisableGlobalRegistry(true),
		goose.WithGoMigrations(emailKeys(log)))
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return &Migrator{db: db, provider: provider, log: log}, nil
}

// Close closes the connections of the Migrator.
func (m *Migrator) Close() error { return m.db.Close() }

// Up applies all pending migrations and returns their results. Errors: SetupError, if the encoding of the database is not UTF-8.
func (m *Migrator) Up(ctx context.Context) ([]*goose.MigrationResult, error) {
	var encoding string
	if err := m.db.QueryRowContext(ctx, `SELECT current_setting('server_encoding')`).Scan(&encoding); err != nil {
		return nil, fmt.Errorf("read the encoding: %w", err)
	}
	if encoding != "UTF8" {
		return nil, wrongEncoding(encoding)
	}
	var applied []*goose.MigrationResult
	err := m.withLocks(ctx, func() error {
		results, err := m.provider.Up(ctx)
		if partial := new(goose.PartialError); errors.As(err, &partial) {
			results = partial.Applied
		}
		applied = append(applied, results...)
		return err
	})
	if hasCode(err, "42501") {
		err = fmt.Errorf("%w: the role may not change the schema; run the migrations as the owner of the schema", err)
	}
	return applied, err
}

// Down rolls back the last migration.
func (m *Migrator) Down(ctx context.Context) (result *goose.MigrationResult, err error) {
	err = m.withLocks(ctx, func() error {
		result, err = m.provider.Down(ctx)
		return err
	})
	return result, err
}

// maxTableLockWait is how long a migration tries to get the lock of a table.
const maxTableLockWait = 5 * time.Minute

// withLocks runs migrate again while another transaction holds a lock that it needs, for at most maxTableLockWait. A migration waits only
// briefly for a lock, and requests continue during the pauses.
func (m *Migrator) withLocks(ctx context.Context, migrate func() error) error {
	ctx, cancel := context.WithTimeout(ctx, maxTableLockWait)
	defer cancel()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := migrate()
		if !isLockTaken(err) && !hasCode(err, "40P01") {
			return err
		}
		err = fmt.Errorf("another transaction holds a lock that the migration needs: %w", err)
		m.log.WarnContext(ctx, "trying again", "error", err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// Status returns all migrations with their state: applied or pending.
func (m *Migrator) Status(ctx context.Context) ([]*goose.MigrationStatus, error) {
	return m.provider.Status(ctx)
}
