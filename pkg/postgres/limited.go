package postgres

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/jackc/pgx/v5/stdlib"
)

// limitedConnector makes connections for migrations. A runner that vanishes in the middle of a transaction would
// otherwise keep its tables locked for hours.
type limitedConnector struct{ driver.Connector }

// Connect implements driver.Connector.
func (c limitedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
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
