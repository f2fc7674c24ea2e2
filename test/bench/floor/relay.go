package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	amqp "github.com/rabbitmq/amqp091-go"
)

// exchange is the topic exchange of the events.
const exchange = "floor_events"

// relay publishes the events of the outbox in batches. It removes a batch after the broker has confirmed all of its events.
type relay struct {
	db    *pgxpool.Pool
	url   string
	batch int
	woken chan struct{}
}

func newRelay(db *pgxpool.Pool, url string, batch int) *relay {
	return &relay{db: db, url: url, batch: batch, woken: make(chan struct{}, 1)}
}

// wake makes run look for events.
func (r *relay) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// run publishes events until ctx ends. Without a URL, it does nothing.
func (r *relay) run(ctx context.Context) error {
	if r.url == "" {
		return nil
	}
	return r.connected(func(channel *amqp.Channel) error {
		for {
			if _, err := r.drain(ctx, channel); err != nil && ctx.Err() == nil {
				return err
			}
			select {
			case <-r.woken:
			case <-ctx.Done():
				return nil
			}
		}
	})
}

// connected calls work with a channel that confirms.
func (r *relay) connected(work func(*amqp.Channel) error) error {
	conn, err := amqp.Dial(r.url)
	if err != nil {
		return fmt.Errorf("AMQP_URL: %w", err)
	}
	defer func() { _ = conn.Close() }()
	channel, err := conn.Channel()
	if err == nil {
		err = channel.Confirm(false)
	}
	if err == nil {
		err = channel.ExchangeDeclare(exchange, "topic", true, false, false, false, nil)
	}
	if err != nil {
		return fmt.Errorf("prepare the channel: %w", err)
	}
	return work(channel)
}

// drain publishes events until the outbox is empty, and returns their number.
func (r *relay) drain(ctx context.Context, channel *amqp.Channel) (published int, err error) {
	for {
		n, err := r.publish(ctx, channel)
		if n == 0 || err != nil {
			return published, err
		}
		published += n
	}
}

// event is a row of the outbox.
type event struct {
	ID      int64
	EventID uuid.UUID
	Type    string
	Data    []byte
}

// publish publishes one batch, waits for its confirms, and deletes it. It returns the size of the batch.
func (r *relay) publish(ctx context.Context, channel *amqp.Channel) (n int, err error) {
	rows, err := r.db.Query(ctx, `SELECT id, event_id, type, data FROM outbox ORDER BY id LIMIT $1`, r.batch)
	if err != nil {
		return 0, err
	}
	events, err := pgx.CollectRows(rows, pgx.RowToStructByPos[event])
	if err != nil || len(events) == 0 {
		return 0, err
	}
	ids := make([]int64, len(events))
	confirms := make([]*amqp.DeferredConfirmation, len(events))
	for i, e := range events {
		ids[i] = e.ID
		confirms[i], err = channel.PublishWithDeferredConfirmWithContext(ctx, exchange, e.Type, true, false, amqp.Publishing{
			ContentType: "application/json", DeliveryMode: amqp.Persistent, MessageId: e.EventID.String(), Timestamp: time.Now(), Body: e.Data,
		})
		if err != nil {
			return 0, err
		}
	}
	for _, c := range confirms {
		if acked, err := c.WaitContext(ctx); err != nil || !acked {
			return 0, fmt.Errorf("the broker has not confirmed an event: %w", err)
		}
	}
	_, err = r.db.Exec(ctx, `DELETE FROM outbox WHERE id = ANY($1)`, ids)
	return len(events), err
}
