package main

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// staller is a proxy that can stop forwarding without closing connections.
type staller struct {
	addr    string
	stalled atomic.Bool
}

func newStaller(t *testing.T, server string) *staller {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	s := &staller{addr: listener.Addr().String()}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = client.Close() })
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = upstream.Close() })
			go s.pass(upstream, client)
			go s.pass(client, upstream)
		}
	}()
	return s
}

func (s *staller) pass(to io.Writer, from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || s.stalled.Load() {
			return // it does not close the connections, so that the peers notice nothing
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestShutdownEndsInTimeDespiteNetworkFaults stalls the network to the database and the broker before or after SIGTERM. The trace collector
// never responds. The shutdown must end within SHUTDOWN_TIMEOUT.
func TestShutdownEndsInTimeDespiteNetworkFaults(t *testing.T) {
	t.Parallel()
	const limit = 6 * time.Second
	for name, stallAfter := range map[string]time.Duration{
		"before": 0, "while requests end": time.Second, "while events leave": 4 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := environment(t)
			database, err := url.Parse(env["DATABASE_URL"])
			if err != nil {
				t.Fatal(err)
			}
			silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts traces and never responds
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = silent.Close() })
			network := []*staller{newStaller(t, database.Host), newStaller(t, net.JoinHostPort(env["RABBITMQ_HOST"], env["RABBITMQ_PORT"]))}
			database.Host = network[0].addr
			host, port, _ := net.SplitHostPort(network[1].addr)
			c := startService(t, map[string]string{
				"DATABASE_URL": database.String(), "RABBITMQ_HOST": host, "RABBITMQ_PORT": port,
				"SHUTDOWN_DELAY": "2s", "SHUTDOWN_TIMEOUT": limit.String(),
				"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + silent.Addr().String(),
			})
			for n := range 8 { // to open connections and create traces
				body := `{"email":"a@example.com","password":"a wrong password ` + string(rune('a'+n)) + `"}`
				resp, err := http.Post(c.api+"/login", "application/json", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
			}
			stall := func() {
				for _, s := range network {
					s.stalled.Store(true)
				}
			}
			if stallAfter == 0 {
				stall()
			} else {
				time.AfterFunc(stallAfter, stall)
			}
			began := time.Now()
			c.stop(t)
			if took := time.Since(began); took > limit+time.Second/2 {
				t.Errorf("the shutdown took %s, want at most %s:\n%s", took, limit, c.log)
			}
		})
	}
}
