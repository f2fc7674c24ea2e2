package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// installPgBouncer returns the path of PgBouncer, which it installs if it is missing.
var installPgBouncer = sync.OnceValues(func() (string, error) {
	if path, err := findPgBouncer(); err == nil {
		return path, nil
	}
	if out, err := exec.Command("../../tools/dev/packages", "pgbouncer").CombinedOutput(); err != nil {
		return "", fmt.Errorf("install PgBouncer: %w: %s", err, out)
	}
	return findPgBouncer()
})

// findPgBouncer looks in /usr/sbin too, which not every user's PATH has.
func findPgBouncer() (string, error) {
	path, err := exec.LookPath("pgbouncer")
	if errors.Is(err, exec.ErrNotFound) {
		return exec.LookPath("/usr/sbin/pgbouncer")
	}
	return path, err
}

// pooler is a PgBouncer in transaction mode in front of a database.
type pooler struct {
	path, config string
	addr, url    string // by which the service reaches the database
	as           *syscall.SysProcAttr
	log          *output

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
}

// startPgBouncer runs a PgBouncer until the test ends.
func startPgBouncer(t *testing.T, database string) *pooler {
	t.Helper()
	path, err := installPgBouncer()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "user-service-pgbouncer-") // t.TempDir is for its owner only
	if err != nil {
		t.Fatal(err)
	}
	p := &pooler{path: path, addr: freeAddress(t), log: &output{}}
	p.config = writeConfig(t, dir, p.addr, database)
	p.as = ordinaryUser(t, dir)
	p.url = urlThrough(t, path, p.addr)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of PgBouncer:\n%s", p.log.tail(20))
		}
	})
	cleanUp(t, func() {
		p.kill()
		_ = os.RemoveAll(dir)
	})
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// start starts the process and waits until it listens.
func (p *pooler) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.launch()
}

func (p *pooler) launch() error {
	cmd, ended := exec.Command(p.path, p.config), make(chan struct{})
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = p.log, p.log, p.as
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start PgBouncer: %w", err)
	}
	go func() {
		defer close(ended)
		_ = cmd.Wait() // its log tells why it ended
	}()
	p.cmd, p.ended = cmd, ended
	listens := func() bool {
		conn, err := net.Dial("tcp", p.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	if !await(context.Background(), patience, listens) {
		return errors.New("PgBouncer does not listen")
	}
	return nil
}

// kill ends the process by SIGKILL.
func (p *pooler) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
}

func (p *pooler) end() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// restart ends the process, and starts it again after a while.
func (p *pooler) restart(ctx context.Context, after time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
	pause(ctx, after)
	return p.launch()
}

// revive starts a process again that has ended by itself.
func (p *pooler) revive() (revived bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !isClosed(p.ended) {
		return false, nil
	}
	return true, p.launch()
}

// do runs a command of PgBouncer's console.
func (p *pooler) do(ctx context.Context, command string) error {
	cfg, err := pgx.ParseConfig(fmt.Sprintf("postgres://app@%s/pgbouncer?sslmode=disable&default_query_exec_mode=simple_protocol", p.addr))
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("PgBouncer's console: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, command); err != nil {
		return fmt.Errorf("PgBouncer's console: %s: %w", command, err)
	}
	return nil
}

// writeConfig makes the file that PgBouncer reads. Its clients need no password.
func writeConfig(t *testing.T, dir, addr, database string) (file string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	host, port, _ := net.SplitHostPort(addr)
	config := fmt.Sprintf(`[databases]
app = host=%s port=%s dbname=%s user=%s password=%s
[pgbouncer]
listen_addr = %s
listen_port = %s
unix_socket_dir =
auth_type = any
admin_users = app
pool_mode = transaction
default_pool_size = 8
max_client_conn = 100
`, u.Hostname(), u.Port(), u.Path[1:], u.User.Username(), password, host, port)
	file = filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// ordinaryUser gives dir and its file to somebody who is not root, whom PgBouncer refuses to be.
func ordinaryUser(t *testing.T, dir string) *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	nobody, err := osuser.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	for _, path := range []string{dir, filepath.Join(dir, "pgbouncer.ini")} {
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

var pgBouncerVersion = regexp.MustCompile(`PgBouncer (\d+)\.(\d+)`)

// urlThrough returns the URL of a PgBouncer. One before 1.21 knows no prepared statements.
func urlThrough(t *testing.T, path, addr string) string {
	t.Helper()
	out, err := exec.Command(path, "--version").Output()
	version := pgBouncerVersion.FindSubmatch(out)
	if err != nil || version == nil {
		t.Fatalf("the version of PgBouncer: %v, %s", err, out)
	}
	pooled := fmt.Sprintf("postgres://app@%s/app?sslmode=disable", addr)
	major, _ := strconv.Atoi(string(version[1]))
	minor, _ := strconv.Atoi(string(version[2]))
	if major == 1 && minor < 21 {
		pooled += "&default_query_exec_mode=exec"
	}
	return pooled
}
