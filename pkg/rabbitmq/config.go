// Package rabbitmq brings events to RabbitMQ, each confirmed by the broker, over one
// connection that is kept alive, and lets a person watch them arrive.
package rabbitmq

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Exchange is the durable topic exchange that all events go to. The routing key is the
// type of the event.
const Exchange = "user_events"

const (
	product = "user-service" // what the broker's operators see of us

	// connectTimeout bounds the connection of TCP. The kernel's own second packet is sent after a second, its third one after
	// three: another try is there sooner when a network is back.
	connectTimeout = time.Second
	// dialTimeout bounds everything from the first packet to a channel that is ready.
	dialTimeout = 5 * time.Second
	// closeTimeout bounds the farewell to the broker.
	closeTimeout = 2 * time.Second
	// defaultHeartbeat makes a silently dead connection known within 15 s. RabbitMQ's guide to
	// heartbeats advises 5 to 20 s: less takes a short congestion for a death.
	defaultHeartbeat = 10 * time.Second
	// frameSize is what RabbitMQ itself proposes.
	frameSize = 128 << 10
)

// Config says where the broker is and who we are to it. Host, Port, User and Password
// are mandatory.
type Config struct {
	Host string
	Port int
	User string
	// Password is asked at each connect, so that a rotated secret needs no restart.
	Password func() string
	// Vhost is the virtual host; empty means "/".
	Vhost string
	// TLS encrypts the connection; the broker must present a certificate for Host that the
	// system's roots vouch for.
	TLS bool

	heartbeat time.Duration // in whole seconds; 0 means defaultHeartbeat
}

func (c Config) address() string {
	return net.JoinHostPort(c.Host, strconv.Itoa(c.Port))
}

// secure wraps the socket in TLS if that is asked for.
func (c Config) secure(ctx context.Context, socket net.Conn) (net.Conn, error) {
	if !c.TLS {
		return socket, nil
	}
	stream := tls.Client(socket, &tls.Config{ServerName: c.Host, MinVersion: tls.VersionTLS12})
	if err := stream.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("agree on TLS: %w", err)
	}
	return stream, nil
}

// client returns the settings of one connection, which the broker will list under name.
func (c Config) client(name string) amqp.Config {
	config := amqp.Config{
		SASL:       []amqp.Authentication{&amqp.PlainAuth{Username: c.User, Password: c.Password()}},
		Vhost:      c.Vhost,
		Heartbeat:  c.heartbeat,
		FrameSize:  frameSize,
		Locale:     "en_US",
		Properties: amqp.Table{"product": product, "connection_name": name},
	}
	if config.Vhost == "" {
		config.Vhost = "/"
	}
	if config.Heartbeat == 0 {
		config.Heartbeat = defaultHeartbeat
	}
	return config
}
