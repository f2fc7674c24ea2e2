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

// TestABusyPoolKeepsNobodyFromLoggingIn takes all connections that requests share: logins have one of their own, and so
// has the question whether the database answers.
func TestABusyPoolKeepsNobodyFromLoggingIn(t *testing.T) {
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
		t.Errorf("a login finds %+v (%v)", cred, err)
	}
	if err := guess(ctx, db, user.User{Email: "nobody@example.com"}); err != nil {
		t.Errorf("a login is not judged: %v", err)
	}
	if err := db.Ping(ctx); err != nil {
		t.Errorf("the database answers, and Ping does not: %v", err)
	}
	required, err := postgres.RequiredSchema()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := db.SchemaVersion(ctx); got != required {
		t.Errorf("the schema is %d (%v), want %d", got, err, required)
	}
	close(release)
	done.Wait()
}

// silencer stands before a database, and can fall silent on the connections that there are, as a host does that is cut off.
// New ones are served.
type silencer struct {
	dsn   string
	age   atomic.Int64
	conns atomic.Int64
	all   atomic.Bool // whether new connections are silent too
	open  sync.Map    // the service's connections
	deaf  atomic.Bool // whether it stops to read what the server sends
}

// stopAll makes all connections silent, new ones too.
func (s *silencer) stopAll() {
	s.all.Store(true)
	s.age.Add(1)
}

// closeAll has the service learn that its connections are gone, and serves new ones.
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

// silence returns a silencer before the server at dsn.
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

// upstreamOf is a server to which nobody listens any more once deaf is set.
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
			return // and closes nothing
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestAProbeGoesOnByANewConnection where the one that it has is cut off without a word, or was closed by the server.
func TestAProbeGoesOnByANewConnection(t *testing.T) {
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
	for round, made := 0, int64(0); s.conns.Load() != made; round++ { // on a busy machine an answer may come late
		if round > 5 {
			t.Fatalf("%d connections, and each round of probes makes another one", s.conns.Load())
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
		t.Errorf("new connections work, and the probe fails: %v", err)
	}
	execute(t, s.dsn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	if err := ping(); err != nil {
		t.Errorf("a connection that was closed is taken for a database that is away: %v", err)
	}
}
