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

// through puts a proxy that can spoil the network in front of the broker.
func through(t *testing.T, cfg rabbitmq.Config) (*toxiproxy.Proxy, rabbitmq.Config) {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if err := proxy.Start(); err != nil {
		t.Fatalf("start the proxy: %v", err)
	}
	t.Cleanup(proxy.Stop)
	return proxy, at(t, cfg, proxy.Listen)
}

// poison adds a toxic, given in toxiproxy's JSON, and returns how to take it away.
func poison(t *testing.T, proxy *toxiproxy.Proxy, toxic string) (heal func()) {
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

// silence drops all packets in both directions without closing anything: a half-open network.
func silence(t *testing.T, proxy *toxiproxy.Proxy) (heal func()) {
	t.Helper()
	up := poison(t, proxy, `{"name":"up","type":"timeout","stream":"upstream","attributes":{"timeout":0}}`)
	down := poison(t, proxy, `{"name":"down","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`)
	return func() { up(); down() }
}

// at returns the Config with another address.
func at(t *testing.T, cfg rabbitmq.Config, address string) rabbitmq.Config {
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

// mouthpiece is a proxy that can say something in the broker's name, and stop listening as a
// broker with an alarm does. An alarm on the real broker would stop all tests that share it.
type mouthpiece struct {
	listener net.Listener
	upstream string

	mu      sync.Mutex
	clients []net.Conn
	bytes   int           // that clients have said
	hears   chan struct{} // closed while it listens
	wg      sync.WaitGroup
}

func newMouthpiece(t *testing.T, cfg rabbitmq.Config) (*mouthpiece, rabbitmq.Config) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mouthpiece{
		listener: listener,
		upstream: net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)),
		hears:    make(chan struct{}),
	}
	close(m.hears)
	m.wg.Go(m.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		m.wg.Wait()
	})
	return m, at(t, cfg, listener.Addr().String())
}

func (m *mouthpiece) accept() {
	for {
		client, err := m.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", m.upstream)
		if err != nil {
			_ = client.Close()
			continue
		}
		m.mu.Lock()
		m.clients = append(m.clients, client)
		m.mu.Unlock()
		m.wg.Go(func() { m.listen(server, client) })
		m.wg.Go(func() {
			_, _ = io.Copy(client, server)
			_ = client.Close()
		})
	}
}

// listen copies from the client to the broker, but holds on to it while the proxy is deaf.
func (m *mouthpiece) listen(server, client net.Conn) {
	defer func() { _ = server.Close() }()
	buffer := make([]byte, 4096)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		m.mu.Lock()
		m.bytes += n
		hears := m.hears
		m.mu.Unlock()
		<-hears
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// goDeaf keeps what clients say from the broker until hear is called.
func (m *mouthpiece) goDeaf(t *testing.T) (hear func()) {
	t.Helper()
	hears := make(chan struct{})
	m.mu.Lock()
	m.hears = hears
	m.mu.Unlock()
	hear = sync.OnceFunc(func() { close(hears) })
	t.Cleanup(hear)
	return hear
}

// say sends an AMQP 0-9-1 method frame to the newest client, which must be idle, since it would
// otherwise land inside another frame.
func (m *mouthpiece) say(t *testing.T, channel byte, method string) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	frame := []byte{1, 0, channel, 0, 0, 0, byte(len(method))}
	frame = append(append(frame, method...), 0xCE)
	if _, err := m.clients[len(m.clients)-1].Write(frame); err != nil {
		t.Fatalf("speak for the broker: %v", err)
	}
}

// said returns how many bytes clients have said.
func (m *mouthpiece) said() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes
}

// connections returns how many there have been.
func (m *mouthpiece) connections() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.clients)
}
