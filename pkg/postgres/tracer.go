package postgres

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgconn"
)

// QueryObserver receives the measurements of queries. Its methods must not block.
type QueryObserver interface {
	// QueryDone is called after each query. operation is the first word of the query, or "BATCH" for a batch. failure is
	// "canceled", "timeout", "connection" or the class of the SQLSTATE. It is empty after a success.
	QueryDone(ctx context.Context, operation string, took time.Duration, failure string)
}

// tracer returns the tracer of all connections. It records spans, and calls the observer.
func (db *DB) tracer() pgx.QueryTracer {
	if db.observer == nil {
		return otelpgx.NewTracer()
	}
	// The timer comes last, so that the exemplars of its measurements refer to the span of the query.
	return multitracer.New(otelpgx.NewTracer(), queryTimer{db.observer})
}

// queryTimer times queries for an observer.
type queryTimer struct{ observer QueryObserver }

type queryKey struct{}

type startedQuery struct {
	operation string
	at        time.Time
}

func started(ctx context.Context, operation string) context.Context {
	return context.WithValue(ctx, queryKey{}, startedQuery{operation, time.Now()})
}

func (t queryTimer) done(ctx context.Context, err error) {
	if query, ok := ctx.Value(queryKey{}).(startedQuery); ok {
		t.observer.QueryDone(ctx, query.operation, time.Since(query.at), failureOf(err))
	}
}

// TraceQueryStart implements pgx.QueryTracer.
func (t queryTimer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, query pgx.TraceQueryStartData) context.Context {
	return started(ctx, operationOf(query.SQL))
}

// TraceQueryEnd implements pgx.QueryTracer.
func (t queryTimer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, end pgx.TraceQueryEndData) {
	t.done(ctx, end.Err)
}

// TraceBatchStart implements pgx.BatchTracer.
func (t queryTimer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return started(ctx, "BATCH")
}

// TraceBatchQuery implements pgx.BatchTracer.
func (t queryTimer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (t queryTimer) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, end pgx.TraceBatchEndData) {
	t.done(ctx, end.Err)
}

// operationOf returns the first word of a query, in upper case.
func operationOf(sql string) string {
	const blanks = " \t\r\n"
	sql = strings.TrimLeft(sql, blanks)
	if end := strings.IndexAny(sql, blanks+";"); end >= 0 {
		sql = sql[:end]
	}
	return strings.ToUpper(sql)
}

// failureOf returns the failure that QueryDone gets for err.
func failureOf(err error) string {
	var server *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, pgx.ErrNoRows):
		return ""
	case errors.As(err, &server):
		return server.Code[:2]
	case errors.Is(err, context.Canceled):
		return "canceled"
	case pgconn.Timeout(err):
		return "timeout"
	default:
		return "connection"
	}
}
