//go:build draw

package observability_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"user-service/internal/testkit"
)

// The readiness probe of the chart.
const (
	probeEvery   = 2 * time.Second
	probeTimeout = 3 * time.Second
	probeFailed  = 2 // consecutive failures until a pod gets no requests
)

// endpoints is a proxy to the ready pods of a release, as a Service of Kubernetes is.
type endpoints struct {
	net.Listener

	mu    sync.Mutex
	ready map[string]bool              // by address of a pod
	open  map[string]map[net.Conn]bool // the connections of clients, by address of a pod
	next  int
}

// behindService sends all requests of a release through one proxy.
func behindService(t *testing.T, pods []*stage) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	e := &endpoints{Listener: l, ready: map[string]bool{}, open: map[string]map[net.Conn]bool{}}
	for _, pod := range pods {
		e.open[pod.api] = map[net.Conn]bool{}
		pod.url = "http://" + l.Addr().String()
		go e.probe(t, pod)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go e.pass(conn, pods)
		}
	}()
}

func (e *endpoints) probe(t *testing.T, pod *stage) {
	client := &http.Client{Timeout: probeTimeout}
	failed := probeFailed
	for testkit.Pause(t.Context(), probeEvery) {
		resp, err := client.Get("http://" + pod.metrics + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
		}
		failed++
		if err == nil && resp.StatusCode == http.StatusOK {
			failed = 0
		}
		e.set(pod.api, failed < probeFailed)
	}
}

// set changes whether a pod gets requests. A gateway sends no more requests over its connections to a pod that is not ready.
func (e *endpoints) set(pod string, ready bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ready[pod] = ready
	for conn := range e.open[pod] {
		if !ready {
			_ = conn.Close()
		}
	}
}

// pass connects a client with the next ready pod. Without one, it closes the connection.
func (e *endpoints) pass(client net.Conn, pods []*stage) {
	defer func() { _ = client.Close() }()
	pod := e.choose(client, pods)
	if pod == "" {
		return
	}
	defer e.forget(client, pod)
	server, err := net.Dial("tcp", strings.TrimPrefix(pod, "http://"))
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}

func (e *endpoints) choose(client net.Conn, pods []*stage) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	for range pods {
		e.next++
		if pod := pods[e.next%len(pods)].api; e.ready[pod] {
			e.open[pod][client] = true
			return pod
		}
	}
	return ""
}

func (e *endpoints) forget(client net.Conn, pod string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.open[pod], client)
}
