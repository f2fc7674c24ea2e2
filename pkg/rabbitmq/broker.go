// Package rabbitmq publishes events to RabbitMQ with publisher confirms, and consumes events for the mailer. It replaces lost connections.
// It can also follow the events as they arrive.
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

// Exchange is the durable topic exchange for all events. The routing key is the type of the event.
const Exchange = "user_events"

const (
	productName = "user-service" // RabbitMQ shows it in its list of connections

	// connectTimeout bounds the TCP connect. The kernel retries only after 1 s and 3 s, so a new connect recovers sooner from an
	// outage.
	connectTimeout = time.Second
	// dialTimeout bounds the whole setup of a session.
	dialTimeout = 5 * time.Second
	// closeTimeout bounds the closing handshake.
	closeTimeout = 2 * time.Second
	// defaultHeartbeat detects a dead connection within 15 s. RabbitMQ recommends 5 to 20 s: with less, a short congestion looks like a
	// dead connection (https://www.rabbitmq.com/docs/heartbeats).
	defaultHeartbeat = 10 * time.Second
	// frameSize is RabbitMQ's default.
	frameSize = 128 << 10
)

// Broker holds the address of the broker and the credentials. Host, Port, User and Password are required.
type Broker struct {
	Host     string
	Port     int
	User     string
	Password string
	// Vhost is the virtual host; empty means "/".
	Vhost string
	// TLS encrypts the connection and verifies the broker's certificate for Host with the system's CAs.
	TLS bool
	// CAFile replaces the system's CAs. CertFile and KeyFile hold the client certificate. The files are read at each connect, so that
	// they can be replaced while the service runs.
	CAFile, CertFile, KeyFile string

	heartbeat time.Duration // in whole seconds; 0 means defaultHeartbeat
}

func (b Broker) address() string {
	return net.JoinHostPort(b.Host, strconv.Itoa(b.Port))
}

// secure wraps the socket in TLS if it is configured.
func (b Broker) secure(ctx context.Context, socket net.Conn) (net.Conn, error) {
	if !b.TLS {
		return socket, nil
	}
	config, err := b.tlsConfig()
	if err != nil {
		return nil, err
	}
	stream := tls.Client(socket, config)
	if err := stream.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return stream, nil
}

func (b Broker) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{ServerName: b.Host, MinVersion: tls.VersionTLS12}
	if b.CAFile != "" {
		content, err := os.ReadFile(b.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the CA file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(content) {
			return nil, errors.New("the CA file has no certificate")
		}
	}
	if b.CertFile != "" {
		certificate, err := tls.LoadX509KeyPair(b.CertFile, b.KeyFile)
		if err != nil {
			// The cause is dropped, because it may contain parts of the files.
			return nil, errors.New("the client certificate or its key can't be read, or they don't match")
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}

// client returns the settings of one connection. RabbitMQ shows name in its list of connections.
func (b Broker) client(name string) amqp.Config {
	config := amqp.Config{
		SASL:       []amqp.Authentication{&amqp.PlainAuth{Username: b.User, Password: b.Password}},
		Vhost:      b.Vhost,
		Heartbeat:  b.heartbeat,
		FrameSize:  frameSize,
		Locale:     "en_US",
		Properties: amqp.Table{"product": productName, "connection_name": name},
	}
	if config.Vhost == "" {
		config.Vhost = "/"
	}
	if config.Heartbeat == 0 {
		config.Heartbeat = defaultHeartbeat
	}
	return config
}
