package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"user-service/internal/testkit"
	"user-service/test/chaos/history"
)

// clusterFaults are the faults of a RabbitMQ cluster.
var clusterFaults = []fault{
	{
		kind: "leader of the queue moved", lane: rabbitMQ, only: cluster, least: 0, most: time.Second,
		means: history.Fault{Cuts: 1},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) (err error) {
			for range 2 {
				var moved string
				if moved, err = r.broker.moveLeader(ctx, s.variant); err != nil {
					return err
				}
				f.Detail += moved + " "
				testkit.Pause(ctx, s.lasts)
			}
			return nil
		},
	}, {
		kind: "leader of the queue removed", lane: rabbitMQ, only: cluster, least: 0, most: 2 * time.Second,
		means: history.Fault{Cuts: 1},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) (err error) {
			if f.Detail, err = r.broker.leader(ctx); err != nil {
				return err
			}
			on := r.broker.nodes[0]
			_, err = on.control(ctx, "rabbitmq-queues", "delete_member", everything, f.Detail)
			testkit.Pause(ctx, s.lasts)
			var added error
			testkit.Await(ctx, testkit.Timeout, func() bool { // the removal may still be running
				_, added = on.control(ctx, "rabbitmq-queues", "add_member", everything, f.Detail)
				return added == nil
			})
			return errors.Join(err, added)
		},
	}, {
		// The node is in a minority: it pauses, and continues when it reaches the others again.
		kind: "a node of RabbitMQ cut off", lane: rabbitMQ, only: cluster, least: time.Second, most: 5 * time.Second,
		means: history.Fault{Cuts: 1},
		inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
			node := r.broker.node(s.variant)
			f.Detail = node.name
			err := r.broker.setCookie(ctx, node, "blocked")
			testkit.Pause(ctx, s.lasts)
			return errors.Join(err, r.broker.setCookie(ctx, node, r.broker.cookie), r.broker.await(ctx))
		},
	},
}

// moveLeader makes another member the leader of the consumer's queue, and returns its name.
func (b *broker) moveLeader(ctx context.Context, variant int) (string, error) {
	return b.nodes[0].control(ctx, "rabbitmqctl", "eval", fmt.Sprintf(`%s
		Others = lists:sort([node()|nodes()]) -- [Leader],
		Next = lists:nth(1 + %d rem length(Others), Others),
		ok = ra:transfer_leadership({Name, Leader}, {Name, Next}),
		Next.`, findLeader, variant))
}

// leader returns the leader of the consumer's queue.
func (b *broker) leader(ctx context.Context) (string, error) {
	name, err := b.nodes[0].control(ctx, "rabbitmqctl", "eval", findLeader+` Leader.`)
	return strings.Trim(name, `'`), err
}

const findLeader = `
	{ok, Queue} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"` + everything + `">>)),
	{Name, _} = amqqueue:get_pid(Queue),
	{ok, _, {_, Leader}} = ra:members({Name, node()}),`

// setCookie sets the cookie of a node. If it differs from the cookie of the other nodes, the node's connections to them end, and neither
// side can open a new connection.
func (b *broker) setCookie(ctx context.Context, node *brokerNode, cookie string) error {
	var others []string
	for _, other := range b.nodes {
		if other != node {
			others = append(others, "'"+other.name+"'")
		}
	}
	_, err := node.control(ctx, "rabbitmqctl", "eval", fmt.Sprintf(
		`[begin erlang:set_cookie(N, '%s'), '%[1]s' =:= erlang:get_cookie() orelse erlang:disconnect_node(N) end || N <- [%s]].`,
		cookie, strings.Join(others, ", ")))
	return err
}

// followBroker redirects the replicas to nodes that accept connections, as a Kubernetes Service does, until ctx ends. Each
// replica prefers a different node.
func (r *rig) followBroker(ctx context.Context) {
	nodes := r.broker.nodes
	for len(nodes) > 1 && testkit.Pause(ctx, 200*time.Millisecond) {
		for i, proxy := range r.toRabbit {
			for k := range nodes {
				if addr := nodes[(i+k)%len(nodes)].addr; listens(addr) {
					proxy.Redirect(addr)
					break
				}
			}
		}
	}
}
