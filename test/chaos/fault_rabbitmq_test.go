package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/internal/testkit"
	"user-service/pkg/rabbitmq"
	"user-service/test/chaos/history"
)

// rabbitFaults are faults of the broker.
var rabbitFaults = []fault{
	restartOfRabbitMQ("RabbitMQ restarted", (*brokerNode).stop),
	restartOfRabbitMQ("RabbitMQ killed", (*brokerNode).crash),
	{
		// Each of the two replicas may have lost a confirm.
		kind: "RabbitMQ paused", lane: rabbitMQ, least: 300 * time.Millisecond, most: 4 * time.Second,
		means: history.Fault{Cuts: 2, Delays: true},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			node := r.broker.node(s.variant)
			f.Detail = node.name
			if err := node.signal(syscall.SIGSTOP); err != nil {
				return err
			}
			testkit.Pause(ctx, s.lasts)
			return node.signal(syscall.SIGCONT)
		},
	},
	{
		kind: "connections closed by RabbitMQ", lane: rabbitMQ, least: 0, most: 0,
		means: history.Fault{Cuts: 1},
		inject: func(ctx context.Context, r *rig, s step, _ *history.Fault) error {
			_, err := r.broker.node(s.variant).control(ctx, "rabbitmqctl", "close_all_connections", "for a test")
			return err
		},
	},
	{
		// As after a pause, each of the two replicas may have lost a confirm.
		kind: "RabbitMQ out of memory", lane: rabbitMQ, least: 500 * time.Millisecond, most: 4 * time.Second,
		means: history.Fault{Cuts: 2, Delays: true},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			node := r.broker.node(s.variant)
			f.Detail = node.name
			_, lowered := node.control(ctx, "rabbitmqctl", "set_vm_memory_high_watermark", "absolute", "1")
			testkit.Pause(ctx, s.lasts)
			_, raised := node.control(ctx, "rabbitmqctl", "set_vm_memory_high_watermark", "absolute", "512MB")
			return errors.Join(lowered, raised)
		},
	},
	{
		kind: "exchange deleted", lane: rabbitMQ, least: 0, most: time.Second,
		means: history.Fault{Cuts: 2, Drops: true},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			for range 2 {
				err := r.onBroker(func(channel *amqp.Channel) error {
					if err := channel.ExchangeDelete(rabbitmq.Exchange, false, false); err != nil {
						return err
					}
					return r.bind(channel)
				})
				if err != nil {
					return err
				}
				testkit.Pause(ctx, s.lasts)
			}
			f.Detail = "twice"
			return nil
		},
	},
	{
		kind: "a queue deleted", lane: rabbitMQ, least: 200 * time.Millisecond, most: time.Second,
		inject: func(ctx context.Context, r *rig, s step, _ *history.Fault) error {
			return r.withQueue(ctx, s.lasts, "chaos.other", nil)
		},
	},
	{
		kind: "a queue refuses", lane: rabbitMQ, least: 500 * time.Millisecond, most: 3 * time.Second,
		means: history.Fault{Refusals: maxRefusals},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			f.Detail = "all user.updated"
			return r.withQueue(ctx, s.lasts, "chaos.full", amqp.Table{"x-max-length": 0, "x-overflow": "reject-publish"})
		},
	},
}

// maxRefusals is the number of refusals after which an event is parked.
const maxRefusals = 20

// restartOfRabbitMQ returns a fault that restarts the broker.
func restartOfRabbitMQ(kind string, end func(*brokerNode) error) fault {
	return fault{
		kind: kind, lane: rabbitMQ, least: 0, most: time.Second,
		means: history.Fault{Cuts: 1},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			node := r.broker.node(s.variant)
			f.Detail = node.name
			if err := end(node); err != nil {
				return err
			}
			testkit.Pause(ctx, s.lasts)
			return node.up()
		},
	}
}

// withQueue declares a queue for the events user.updated, and deletes it after a while.
func (r *rig) withQueue(ctx context.Context, lasts time.Duration, name string, args amqp.Table) error {
	err := r.onBroker(func(channel *amqp.Channel) error {
		if _, err := channel.QueueDeclare(name, true, false, false, false, args); err != nil {
			return err
		}
		return channel.QueueBind(name, "user.updated", rabbitmq.Exchange, false, nil)
	})
	testkit.Pause(ctx, lasts)
	return errors.Join(err, r.onBroker(func(channel *amqp.Channel) error {
		_, err := channel.QueueDelete(name, false, false, false)
		return err
	}))
}

// onBroker opens a new connection to the first node that accepts one, and calls use with a channel.
func (r *rig) onBroker(use func(*amqp.Channel) error) error {
	var conn *amqp.Connection
	var err error
	for _, node := range r.broker.nodes {
		u := url.URL{Scheme: "amqp", User: url.UserPassword(r.broker.user, r.broker.secret()), Host: node.addr, Path: "/"}
		if conn, err = amqp.DialConfig(u.String(), amqp.Config{Dial: amqp.DefaultDial(10 * time.Second)}); err == nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("connect to RabbitMQ: %w", err)
	}
	defer func() { _ = conn.Close() }()
	channel, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	return use(channel)
}
