package postgrestest

import (
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
	"syscall"
	"testing"
	"time"
)

// PgBouncer starts a PgBouncer in transaction mode in front of the database at dsn, with so many connections to it. It
// returns the URL through it, and ends with the test.
func PgBouncer(t testing.TB, dsn string, conns int) (pooled string) {
	t.Helper()
	path := pgBouncerPath(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // ends at once
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	_ = listener.Close()
	dir, err := os.MkdirTemp("", "user-service-pgbouncer-") // t.TempDir is for its owner only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(pgBouncerConfig(t, dsn, addr, conns)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, file) //nolint:gosec,noctx // the cleanup ends it
	cmd.SysProcAttr = ordinaryUser(t, dir, file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for began := time.Now(); ; <-time.After(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr) //nolint:noctx // on this machine
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("postgres://app@%s/app?sslmode=disable&connect_timeout=30%s", addr, execMode(t, path))
}

// pgBouncerPath looks in /usr/sbin too, which not every user's PATH has, and installs what is missing.
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
	out, err := exec.Command("../../tools/dev/packages", "pgbouncer").CombinedOutput() //nolint:noctx // as long as it takes
	if err == nil {
		path, err = find()
	}
	if err != nil {
		t.Fatalf("install PgBouncer: %v: %s", err, out)
	}
	return path
}

func pgBouncerConfig(t testing.TB, dsn, addr string, conns int) string {
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
pool_mode = transaction
default_pool_size = %d
max_client_conn = 100
`, u.Hostname(), u.Port(), u.Path[1:], u.User.Username(), password, host, port, conns)
}

// ordinaryUser gives files to somebody who is not root, whom PgBouncer refuses to be.
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

// execMode returns the parameter for a PgBouncer before 1.21, which knows no prepared statements.
func execMode(t testing.TB, path string) string {
	t.Helper()
	out, err := exec.Command(path, "--version").Output() //nolint:noctx // ends at once
	version := pgBouncerVersion.FindSubmatch(out)
	if err != nil || version == nil {
		t.Fatalf("the version of PgBouncer: %v, %s", err, out)
	}
	major, _ := strconv.Atoi(string(version[1]))
	minor, _ := strconv.Atoi(string(version[2]))
	if major == 1 && minor < 21 {
		return "&default_query_exec_mode=exec"
	}
	return ""
}
