package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// limitedConnector opens the connections for migrations. Each transaction on them has vanishedClientLimits: without these limits, a
// migrating process that disappears during a transaction would keep its tables locked for hours.
type limitedConnector struct {
	driver.Connector

	timeout time.Duration // the maximum time of one attempt to connect
}

// Connect implements driver.Connector. After a timeout, its error says what to check.
func (c limitedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if pgconn.Timeout(err) && ctx.Err() == nil {
		return nil, fmt.Errorf("the database does not answer within %s; check that its host and port are correct, that it runs, and that "+
			"the network allows connections (connect_timeout in the URL sets another limit): %w", c.timeout, err)
	}
	if err != nil {
		return nil, err
	}
	return limitedConn{conn.(*stdlib.Conn)}, nil
}

type limitedConn struct{ *stdlib.Conn }

// BeginTx implements driver.ConnBeginTx. It sets vanishedClientLimits for the transaction.
func (c limitedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	if _, err := c.Conn.Conn().Exec(ctx, vanishedClientLimits); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return tx, nil
}
