package postgres_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"user-service/pkg/access"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/user"
)

// TestABusyPoolDoesNotBlockLogins occupies all connections that requests share. Logins and the readiness probe must still succeed: each
// has a reserved connection.
func TestABusyPoolDoesNotBlockLogins(t *testing.T) {
	t.Parallel()
	const most = 3
	db, err := postgres.Open(t.Context(), postgres.Config{URL: postgrestest.URL(t), MaxConns: most + 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close(context.Background()) })
	release := make(chan struct{})
	var busy, done sync.WaitGroup
	busy.Add(most)
	for _, email := range []string{"a@example.com", "b@example.com", "c@example.com"} {
		u := create(t, db, email)
		done.Go(func() {
			_, err := db.Change(t.Context(), access.Internal(u.ID), func(context.Context, user.Tx, user.User) (user.Change, error) {
				busy.Done()
				<-release
				return user.Change{}, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	busy.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if cred, err := db.Credential(ctx, "a@example.com"); err != nil || cred.PasswordHash == "" {
		t.Errorf("a login reads the credential %+v (%v), want a credential with a hash", cred, err)
	}
	if err := failWithBackoff(ctx, db, user.User{Email: "nobody@example.com"}); err != nil {
		t.Errorf("a login attempt is not recorded: %v", err)
	}
	if err := db.Ping(ctx); err != nil {
		t.Errorf("Ping fails while the pool is busy: %v", err)
	}
	required, err := postgres.RequiredSchema()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := db.SchemaVersion(ctx); got != required {
		t.Errorf("the schema has version %d (%v), want %d", got, err, required)
	}
	close(release)
	done.Wait()
}

// silencer is a proxy in front of a database that can silence its open connections. On a silenced connection it forwards nothing and
// closes nothing, like a network that drops all packets. New connections work unless all is set.
type silencer struct {
	dsn   string
	age   atomic.Int64 // an increase silences the open connections
	conns atomic.Int64 // counts the connections
	all   atomic.Bool  // new connections are silent too
	open  sync.Map     // the service's connections
	deaf  atomic.Bool  // the proxy reads nothing more from the server
}

// stopAll silences all connections, including new ones.
func (s *silencer) stopAll() {
	s.all.Store(true)
	s.age.Add(1)
}

// closeAll closes the service's connections, so that the service notices their loss. New connections work again.
func (s *silencer) closeAll() {
	s.all.Store(false)
	s.open.Range(func(client, _ any) bool {
		_ = client.(net.Conn).Close()
		return true
	})
}

func newSilencer(t *testing.T) *silencer {
	t.Helper()
	return silence(t, postgrestest.URL(t))
}

// silence returns a silencer in front of the server at dsn.
func silence(t *testing.T, dsn string) *silencer {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	server := u.Host
	u.Host = listener.Addr().String()
	s := &silencer{dsn: u.String()}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				return
			}
			s.conns.Add(1)
			s.open.Store(client, nil)
			t.Cleanup(func() { _ = client.Close(); _ = upstream.Close() })
			age := s.age.Load()
			if s.all.Load() {
				continue
			}
			go s.copy(age, upstream, client)
			_ = upstream.(*net.TCPConn).SetReadBuffer(4096)
			go s.copy(age, client, upstreamOf{upstream, &s.deaf})
		}
	}()
	return s
}

// upstreamOf is a connection to a server. Once deaf is set, the proxy reads nothing more from it.
type upstreamOf struct {
	net.Conn
	deaf *atomic.Bool
}

func (u upstreamOf) Read(b []byte) (int, error) {
	if u.deaf.Load() {
		return 0, io.EOF
	}
	return u.Conn.Read(b)
}

func (s *silencer) copy(age int64, to io.Writer, from io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil || s.age.Load() != age {
			return // it does not close the connections, so that the peers notice nothing
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestAProbeReconnects silences the probe's connection, and later makes the server close its new connection. Each time, the probe must
// succeed with another connection.
func TestAProbeReconnects(t *testing.T) {
	t.Parallel()
	s := newSilencer(t)
	db := postgrestest.Connect(t, s.dsn, nil)
	ping := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return db.Ping(ctx)
	}
	if err := ping(); err != nil {
		t.Fatal(err)
	}
	// On a slow machine a response may be late. So the rounds repeat until the probes reuse a connection.
	for round, made := 0, int64(0); s.conns.Load() != made; round++ {
		if round > 5 {
			t.Fatalf("there are %d connections after %d rounds of probes, want the probes to reuse one", s.conns.Load(), round)
		}
		made = s.conns.Load()
		for range 3 {
			if err := ping(); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.age.Add(1)
	if err := ping(); err != nil {
		t.Errorf("the probe fails although new connections work: %v", err)
	}
	execute(t, s.dsn,
		`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	if err := ping(); err != nil {
		t.Errorf("the probe fails after the server closed its connection: %v", err)
	}
}
