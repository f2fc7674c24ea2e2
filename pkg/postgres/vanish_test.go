package postgres_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"user-service/internal/testkit"
	"user-service/pkg/outbox"
	"user-service/pkg/postgres/postgrestest"
)

// staller is a proxy in front of PostgreSQL that can stall: it then reads nothing more from either side, and closes nothing.
type staller struct {
	listener net.Listener
	server   string
	limit    atomic.Int64 // the remaining number of bytes from the server until the proxy stalls
	once     sync.Once
	stalled  chan struct{}
	conns    sync.Map
}

// stallAfter starts a staller in front of the server of dsn, and returns its URL. The staller stalls after it has got this number of
// bytes from the server.
func stallAfter(t *testing.T, dsn string, bytes int64) (through string, s *staller) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal("the URL of the database is invalid")
	}
	s = &staller{server: u.Host, stalled: make(chan struct{})}
	s.limit.Store(bytes)
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	go s.accept()
	t.Cleanup(s.close)
	u.Host = s.listener.Addr().String()
	return u.String(), s
}

func (s *staller) accept() {
	for {
		client, err := s.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", s.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		s.conns.Store(client, nil)
		s.conns.Store(server, nil)
		go s.copy(server, client, false)
		go s.copy(client, server, true)
	}
}

func (s *staller) copy(to, from net.Conn, counts bool) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			_ = to.Close()
			return
		}
		if counts && s.limit.Add(int64(-n)) <= 0 {
			s.stall()
		}
		select {
		case <-s.stalled:
			return // it does not close the connections, so that the server notices nothing
		default:
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (s *staller) stall() { s.once.Do(func() { close(s.stalled) }) }

func (s *staller) close() {
	_ = s.listener.Close()
	s.conns.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
}

// TestAVanishedRelayLosesItsLock stalls the network of a relay while the server sends a batch, or while the relay publishes. Another
// replica must get the relay's lock within lockTime.
func TestAVanishedRelayLosesItsLock(t *testing.T) {
	t.Parallel()
	limits := outbox.Limits{Events: 500, Retries: 20, Bytes: 1 << 30}
	for name, stallIn := range map[string]string{"while the server sends": "ClientWrite", "while it publishes": "ClientRead"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachWay(t, func(t *testing.T, dsn, through string) {
				watch := connect(t, dsn)
				bytes := int64(1 << 40)
				if stallIn == "ClientWrite" {
					backlog(t, dsn, 500, 64<<10)
					bytes = 100 << 10
				} else {
					backlog(t, dsn, 5, 100)
				}
				stalling, network := stallAfter(t, through, bytes)
				vanishing := postgrestest.Connect(t, stalling, nil)
				ctx, end := context.WithCancel(t.Context())
				defer end()
				var wg sync.WaitGroup
				defer wg.Wait()
				defer end()
				wg.Go(func() {
					_, _ = vanishing.Drain(ctx, limits, func(ctx context.Context, w []outbox.Waiting) []outbox.Outcome {
						network.stall()
						<-ctx.Done()
						return confirmAll(len(w))
					})
				})
				<-network.stalled
				waitForState(t, watch, stallIn)

				began := time.Now()
				other := postgrestest.Connect(t, dsn, nil)
				testkit.WaitFor(t, "the relay's lock", func() bool {
					_, err := other.Drain(t.Context(), limits, func(_ context.Context, w []outbox.Waiting) []outbox.Outcome {
						return confirmAll(len(w))
					})
					if err != nil && !errors.Is(err, outbox.ErrBusy) {
						t.Fatalf("Drain fails after %s: %v, want ErrBusy or success", time.Since(began), err)
					}
					return err == nil
				})
				if took := time.Since(began); took > lockTime+2*time.Second { // 2 s are for the test itself, on a busy machine
					t.Errorf("a vanished relay held its lock for %s, want at most %s", took, lockTime)
				} else {
					t.Logf("the lock was released after %s", took)
				}
			})
		})
	}
}

// waitForState waits until a session that holds an advisory lock waits for this event of PostgreSQL.
func waitForState(t *testing.T, conn *pgx.Conn, event string) {
	t.Helper()
	testkit.WaitFor(t, "a relay that waits in "+event, func() (found bool) {
		err := conn.QueryRow(t.Context(), `
			SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
				WHERE l.locktype = 'advisory' AND a.datname = current_database() AND a.wait_event = $1)`, event).Scan(&found)
		if err != nil {
			t.Fatal(err)
		}
		return found
	})
}
