// Package rabbitmq brings events to RabbitMQ, each confirmed by the broker, over one
// connection that is kept alive, and lets a person watch them arrive.
package rabbitmq

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
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
	Host     string
	Port     int
	User     string
	Password string
	// Vhost is the virtual host; empty means "/".
	Vhost string
	// TLS encrypts the connection; the broker must present a certificate for Host that the
	// system's roots vouch for.
	TLS bool
	// CAFile has the certificates that vouch for the broker's, in place of the system's roots; CertFile and KeyFile have the
	// client's own. They are read again at each connect, so that they can be replaced while the service runs.
	CAFile, CertFile, KeyFile string

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
	config, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	stream := tls.Client(socket, config)
	if err := stream.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("agree on TLS: %w", err)
	}
	return stream, nil
}

func (c Config) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{ServerName: c.Host, MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		content, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the broker's CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(content) {
			return nil, errors.New("the file of the broker's CA has no certificate")
		}
	}
	if c.CertFile != "" {
		own, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, errors.New("the client's certificate or its key can't be read, or they don't belong together") // the cause may show parts of them
		}
		config.Certificates = []tls.Certificate{own}
	}
	return config, nil
}

// client returns the settings of one connection, which the broker will list under name.
func (c Config) client(name string) amqp.Config {
	config := amqp.Config{
		SASL:       []amqp.Authentication{&amqp.PlainAuth{Username: c.User, Password: c.Password}},
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
