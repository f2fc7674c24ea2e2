package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"user-service/internal/testkit"
	"user-service/test/chaos/history"
)

// standbyFaults are the faults of a database with a standby.
var standbyFaults = []fault{{
	kind: "standby promoted", lane: postgreSQL, only: standby, least: 500 * time.Millisecond, most: 2 * time.Second,
	means: history.Fault{Database: true, Cuts: 2, Locks: true},
	inject: func(ctx context.Context, r *rig, s step, f *history.Fault) error {
		if r.standby == nil {
			return fmt.Errorf("%w: no standby is left", errNotInjected)
		}
		return r.promote(ctx, s, f)
	},
}}

// promote ends the primary and promotes the standby. The variant decides whether the service's address changes before or after
// the promotion. It also decides whether the old connections are cut or half-open.
func (r *rig) promote(ctx context.Context, s step, f *history.Fault) error {
	if !testkit.Await(ctx, testkit.Timeout, func() bool { return r.isSynchronous(ctx) }) {
		return errors.New("the standby is not synchronous")
	}
	next := r.standby
	r.standby = nil
	early, lost := s.variant%2 == 0, s.variant/2%2 == 0
	f.Detail = fmt.Sprintf("the address leads there before: %t; old connections half-open: %t", early, lost)
	for _, proxy := range r.toPostgres {
		if lost {
			proxy.Lose()
		}
		if early {
			proxy.Redirect(next.addr())
		}
	}
	if err := r.server().crash(); err != nil {
		return err
	}
	testkit.Pause(ctx, s.lasts)
	r.mu.Lock()
	r.primary = next
	r.mu.Unlock()
	if err := r.sql(ctx, `SELECT pg_promote()`); err != nil {
		return err
	}
	for _, proxy := range r.toPostgres {
		proxy.Redirect(next.addr())
	}
	return nil
}

// isSynchronous reports whether each commit waits for the standby.
func (r *rig) isSynchronous(ctx context.Context) (yes bool) {
	_ = r.sqlValue(ctx, `SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')`, &yes)
	return yes
}

// standbyServer is a PostgreSQL standby.
type standbyServer struct {
	process

	folder string
	url    *url.URL
	bin    string
	port   string
}

// newStandby copies a primary and makes replication to the copy synchronous.
func newStandby(t *testing.T, r *rig) *standbyServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "user-service-standby-")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(testkit.FreeAddress(t))
	s := &standbyServer{folder: dir, port: port, url: r.primary.as("app")}
	s.url.Host = s.addr()
	s.bin, s.user = programOf(t, r.primary)
	if s.user != nil {
		if err := os.Chown(dir, int(s.user.Credential.Uid), int(s.user.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of the standby:\n%s", s.log.Tail(20))
		}
	})
	cleanUp(t, func() {
		if !s.hasEnded() {
			_ = s.crash()
		}
		_ = os.RemoveAll(dir)
	})
	copying := s.command("pg_basebackup", "-d", r.primary.as("postgres").String(), "-D", s.data(), "-R", "-X", "stream", "-c", "fast")
	if out, err := copying.CombinedOutput(); err != nil {
		t.Fatalf("copy the primary: %v: %s", err, out)
	}
	if err := s.up(); err != nil {
		t.Fatal(err)
	}
	if err := r.sql(t.Context(), `ALTER SYSTEM SET synchronous_standby_names = '*'`, `SELECT pg_reload_conf()`); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, "the standby", func() bool { return r.isSynchronous(t.Context()) })
	return s
}

func (s *standbyServer) data() string { return filepath.Join(s.folder, "data") }
func (s *standbyServer) addr() string { return "127.0.0.1:" + s.port }

func (s *standbyServer) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = "/", s.user
	return cmd
}

// up starts the server and waits until it accepts connections. It retries, because processes of a killed server may still be
// ending.
func (s *standbyServer) up() (err error) {
	for range 10 {
		if err = s.try(); err == nil {
			return nil
		}
		testkit.Pause(context.Background(), 500*time.Millisecond)
	}
	return err
}

func (s *standbyServer) try() error {
	err := s.launch(s.command("postgres", "-D", s.data(), "-c", "port="+s.port, "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=",
		"-c", "max_connections=300", "-c", "wal_retrieve_retry_interval=100ms"))
	if err != nil {
		return err
	}
	answers := func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, s.url.String())
		if err == nil {
			_ = conn.Close(ctx)
		}
		return err == nil
	}
	up := false
	testkit.Await(context.Background(), testkit.Timeout, func() bool {
		up = answers()
		return up || s.hasEnded()
	})
	if !up {
		return errors.New("a standby does not accept connections")
	}
	return nil
}

func (s *standbyServer) stop() error { return s.end(syscall.SIGINT) }
func (s *standbyServer) quit() error { return s.end(syscall.SIGQUIT) }

func (s *standbyServer) crash() error {
	err := s.signal(syscall.SIGKILL)
	<-s.ended
	return err
}

func (s *standbyServer) as(role string) *url.URL { return withRole(s.url, role) }

// programOf returns the folder of a server's programs, and the server's user if that is not the user of the test.
func programOf(t *testing.T, d database) (dir string, as *syscall.SysProcAttr) {
	t.Helper()
	pid, err := d.(*server).pid()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if int(owner.Uid) != os.Geteuid() {
		as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
	return filepath.Dir(file), as
}
