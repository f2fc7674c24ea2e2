package postgrestest

import (
	"bytes"
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
	"strings"
	"sync"
	"syscall"
	"testing"

	"user-service/internal/testkit"
)

// PgBouncer starts PgBouncer in transaction mode in front of the database at dsn, and returns the URL of the database through it.
// PgBouncer opens up to conns connections to the database. PgBouncer is stopped when the test ends.
func PgBouncer(t testing.TB, dsn string, conns int) (pooled string) {
	t.Helper()
	return StartPooler(t, dsn, conns).URL + "&connect_timeout=30"
}

// Pooler is a process of PgBouncer in transaction mode, in front of a database. Clients need no password, and may use the console of
// PgBouncer. Its methods are safe for concurrent use.
type Pooler struct {
	Addr string
	URL  string // the URL of the database through the pooler

	path, dir string
	user      *syscall.SysProcAttr // the user of the process

	mu    sync.Mutex
	log   *bytes.Buffer
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
}

// StartPooler starts a Pooler with up to conns connections to the database at dsn. settings are additional lines of its configuration.
// The Pooler is stopped when the test ends.
func StartPooler(t testing.TB, dsn string, conns int, settings ...string) *Pooler {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns immediately
	if err != nil {
		t.Fatal(err)
	}
	p := &Pooler{Addr: listener.Addr().String(), path: pgBouncerPath(t)}
	_ = listener.Close()
	p.URL = fmt.Sprintf("postgres://app@%s/app?sslmode=disable%s", p.Addr, execMode(t, p.path))
	if p.dir, err = os.MkdirTemp("", "user-service-pgbouncer-"); err != nil { // not t.TempDir, because other users can't read files there
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		if t.Failed() {
			t.Logf("the log of PgBouncer:\n%s", tail(p.log.Bytes()))
		}
	})
	if err := os.WriteFile(p.config(), []byte(pgBouncerConfig(t, dsn, p.Addr, conns, settings...)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.user = ordinaryUser(t, p.dir, p.config())
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *Pooler) config() string { return filepath.Join(p.dir, "pgbouncer.ini") }

// Start starts the process if it is not running, and waits until it listens.
func (p *Pooler) Start() error {
	_, err := p.Revive()
	return err
}

// Revive starts the process if it is not running, and waits until it listens. It reports whether it had to start the process.
func (p *Pooler) Revive() (had bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runs() {
		return false, nil
	}
	p.log = &bytes.Buffer{}
	cmd, ended := exec.Command(p.path, p.config()), make(chan struct{}) //nolint:gosec,noctx // Close ends it
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = p.log, p.log, p.user
	if err := cmd.Start(); err != nil {
		return true, fmt.Errorf("start PgBouncer: %w", err)
	}
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the log contains the reason
	}()
	p.cmd, p.ended = cmd, ended
	return true, p.awaitListener()
}

func (p *Pooler) runs() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *Pooler) awaitListener() error {
	var err error
	if !testkit.Await(context.Background(), testkit.Timeout, func() bool {
		var conn net.Conn
		if conn, err = net.Dial("tcp", p.Addr); err == nil { //nolint:noctx // a local address
			_ = conn.Close()
		}
		return err == nil
	}) {
		return fmt.Errorf("PgBouncer does not listen: %w", err)
	}
	return nil
}

// SetPassword changes the password in the configuration, which the command RELOAD reads.
func (p *Pooler) SetPassword(old, password string) error {
	content, err := os.ReadFile(p.config())
	if err != nil {
		return fmt.Errorf("read the configuration of PgBouncer: %w", err)
	}
	content = bytes.ReplaceAll(content, []byte("password="+old), []byte("password="+password))
	if err := os.WriteFile(p.config(), content, 0o600); err != nil { //nolint:gosec // a file of this test
		return fmt.Errorf("write the configuration of PgBouncer: %w", err)
	}
	return nil
}

// Kill ends the process with SIGKILL.
func (p *Pooler) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runs() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// Close ends the process and deletes its directory.
func (p *Pooler) Close() {
	p.Kill()
	_ = os.RemoveAll(p.dir)
}

// tail returns the last lines of a log.
func tail(log []byte) []byte {
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-20):], []byte("\n"))
}

// pgBouncerPath returns the path of PgBouncer, and installs it if necessary. It also searches /usr/sbin, which is not in every
// user's PATH.
func pgBouncerPath(t testing.TB) string {
	t.Helper()
	find := func() (string, error) {
		path, err := exec.LookPath("pgbouncer")
		if errors.Is(err, exec.ErrNotFound) {
			return exec.LookPath("/usr/sbin/pgbouncer")
		}
		return path, err
	}
	path, err := find()
	if err == nil {
		return path
	}
	out, err := exec.Command("../../tools/dev/packages", "pgbouncer").CombinedOutput() //nolint:noctx // has no time limit
	if err == nil {
		path, err = find()
	}
	if err != nil {
		t.Fatalf("install PgBouncer: %v: %s", err, out)
	}
	return path
}

func pgBouncerConfig(t testing.TB, dsn, addr string, conns int, settings ...string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	host, port, _ := net.SplitHostPort(addr)
	return fmt.Sprintf(`[databases]
app = host=%s port=%s dbname=%s user=%s password=%s
[pgbouncer]
listen_addr = %s
listen_port = %s
unix_socket_dir =
auth_type = any
admin_users = app
pool_mode = transaction
default_pool_size = %d
max_client_conn = 100
%s
`, u.Hostname(), u.Port(), u.Path[1:], u.User.Username(), password, host, port, conns, strings.Join(settings, "\n"))
}

// ordinaryUser gives files to the user nobody, and returns the attributes of a process of that user: PgBouncer refuses to run as
// root. It returns nil if the test does not run as root.
func ordinaryUser(t testing.TB, files ...string) *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	nobody, err := osuser.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, _ := strconv.ParseUint(nobody.Gid, 10, 32)
	for _, path := range files {
		if err := os.Chown(path, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

var pgBouncerVersion = regexp.MustCompile(`PgBouncer (\d+)\.(\d+)`)

// execMode returns the URL parameter for versions of PgBouncer before 1.21, which do not support prepared statements. For later versions
// it returns nothing.
func execMode(t testing.TB, path string) string {
	t.Helper()
	out, err := exec.Command(path, "--version").Output() //nolint:noctx // ends immediately
	version := pgBouncerVersion.FindSubmatch(out)
	if err != nil || version == nil {
		t.Fatalf("read the version of PgBouncer: %v: %s", err, out)
	}
	major, _ := strconv.Atoi(string(version[1]))
	minor, _ := strconv.Atoi(string(version[2]))
	if major == 1 && minor < 21 {
		return "&default_query_exec_mode=exec"
	}
	return ""
}
