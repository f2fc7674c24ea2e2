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

// limitedConnector makes connections for migrations. A runner that vanishes in the middle of a transaction would
// otherwise keep its tables locked for hours.
type limitedConnector struct {
	driver.Connector

	timeout time.Duration // of one attempt to connect
}

// Connect implements driver.Connector. Its error says what to do when there is no answer in time.
func (c limitedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if pgconn.Timeout(err) && ctx.Err() == nil {
		return nil, fmt.Errorf("the database does not answer within %s; see that its host and port are right, that it runs, and that "+
			"the network lets connections through (connect_timeout in the URL allows more time): %w", c.timeout, err)
	}
	if err != nil {
		return nil, err
	}
	return limitedConn{conn.(*stdlib.Conn)}, nil
}

type limitedConn struct{ *stdlib.Conn }

// BeginTx implements driver.ConnBeginTx. The server's limits hold for the transaction.
func (c limitedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	if _, err := c.Conn.Conn().Exec(ctx, vanishedLimits); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return tx, nil
}
