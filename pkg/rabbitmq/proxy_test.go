package rabbitmq_test

import (
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"user-service/pkg/rabbitmq"
)

// proxied starts a proxy with network faults in front of the broker.
func proxied(t *testing.T, cfg rabbitmq.Broker) (*toxiproxy.Proxy, rabbitmq.Broker) {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if err := proxy.Start(); err != nil {
		t.Fatalf("start the proxy: %v", err)
	}
	t.Cleanup(proxy.Stop)
	return proxy, withAddress(t, cfg, proxy.Listen)
}

// addToxic adds a toxic in toxiproxy's JSON. heal removes it.
func addToxic(t *testing.T, proxy *toxiproxy.Proxy, toxic string) (heal func()) {
	t.Helper()
	wrapper, err := proxy.Toxics.AddToxicJson(strings.NewReader(toxic))
	if err != nil {
		t.Fatalf("add %s: %v", toxic, err)
	}
	return sync.OnceFunc(func() {
		if err := proxy.Toxics.RemoveToxic(context.Background(), wrapper.Name); err != nil {
			t.Errorf("remove %s: %v", wrapper.Name, err)
		}
	})
}

// dropPackets drops all packets in both directions without closing connections (half-open).
func dropPackets(t *testing.T, proxy *toxiproxy.Proxy) (heal func()) {
	t.Helper()
	up := addToxic(t, proxy, `{"name":"up","type":"timeout","stream":"upstream","attributes":{"timeout":0}}`)
	down := addToxic(t, proxy, `{"name":"down","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`)
	return func() { up(); down() }
}

// withAddress returns cfg with another address.
func withAddress(t *testing.T, cfg rabbitmq.Broker, address string) rabbitmq.Broker {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Host = host
	if cfg.Port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// fakeBroker is a proxy that can inject frames of the broker, and stop reading like a broker with an alarm. An alarm on the real broker
// would affect all tests that share it.
type fakeBroker struct {
	listener net.Listener
	upstream string

	mu      sync.Mutex
	clients []net.Conn
	bytes   int           // received from clients
	reading chan struct{} // closed while the proxy forwards
	wg      sync.WaitGroup
}

func newFakeBroker(t *testing.T, cfg rabbitmq.Broker) (*fakeBroker, rabbitmq.Broker) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &fakeBroker{
		listener: listener,
		upstream: net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)),
		reading:  make(chan struct{}),
	}
	close(b.reading)
	b.wg.Go(b.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		b.wg.Wait()
	})
	return b, withAddress(t, cfg, listener.Addr().String())
}

func (b *fakeBroker) accept() {
	for {
		client, err := b.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", b.upstream)
		if err != nil {
			_ = client.Close()
			continue
		}
		b.mu.Lock()
		b.clients = append(b.clients, client)
		b.mu.Unlock()
		b.wg.Go(func() { b.forward(server, client) })
		b.wg.Go(func() {
			_, _ = io.Copy(client, server)
			_ = client.Close()
		})
	}
}

// forward copies from the client to the broker, except while the proxy is stopped.
func (b *fakeBroker) forward(server, client net.Conn) {
	defer func() { _ = server.Close() }()
	buffer := make([]byte, 4096)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		b.mu.Lock()
		b.bytes += n
		reading := b.reading
		b.mu.Unlock()
		<-reading
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// stopReading stops forwarding from clients to the broker until resume is called.
func (b *fakeBroker) stopReading(t *testing.T) (resume func()) {
	t.Helper()
	reading := make(chan struct{})
	b.mu.Lock()
	b.reading = reading
	b.mu.Unlock()
	resume = sync.OnceFunc(func() { close(reading) })
	t.Cleanup(resume)
	return resume
}

// inject sends an AMQP 0-9-1 method frame to the newest client. The client must be idle, because otherwise it could split another frame.
func (b *fakeBroker) inject(t *testing.T, channel byte, method string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	frame := []byte{1, 0, channel, 0, 0, 0, byte(len(method))}
	frame = append(append(frame, method...), 0xCE)
	if _, err := b.clients[len(b.clients)-1].Write(frame); err != nil {
		t.Fatalf("inject a frame: %v", err)
	}
}

// received returns the number of bytes received from clients.
func (b *fakeBroker) received() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}

// connections returns the number of connections so far.
func (b *fakeBroker) connections() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.clients)
}
