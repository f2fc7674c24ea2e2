package chaos_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

const servicesScript = "../../tools/dev/services"

// settings are environment variables.
type settings map[string]string

func (s settings) with(more settings) settings {
	all := maps.Clone(s)
	maps.Copy(all, more)
	return all
}

// server is the PostgreSQL server of one test. The test may stop the server.
type server struct {
	name   string
	folder string   // the data and the pid file
	env    settings // the addresses
}

var started atomic.Int64 // number of servers, for their names

// newPostgreSQL prepares a server for one test. The server syncs each commit to the disk.
func newPostgreSQL(t *testing.T) *server {
	t.Helper()
	s := &server{name: fmt.Sprintf("chaos-%d-%d", os.Getpid(), started.Add(1))}
	cleanUp(t, func() { purge(s.name) })
	folder, err := services("folder", "--name", s.name)
	if err != nil {
		t.Fatal(err)
	}
	s.folder = strings.TrimSpace(folder)
	return s
}

var exported = regexp.MustCompile(`(?m)^export (\w+)='(.*)'$`)

// up starts the server on its previous port.
func (s *server) up() error {
	out, err := services("up", "--name", s.name, "postgres")
	if err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	env := settings{}
	for _, line := range exported.FindAllStringSubmatch(out, -1) {
		env[line[1]] = line[2]
	}
	if s.env != nil && !maps.Equal(s.env, env) {
		return errors.New("PostgreSQL restarted at a different address")
	}
	s.env = env
	return nil
}

// stop ends the server with a checkpoint.
func (s *server) stop() error { return s.end("down") }

// crash ends the server with SIGKILL.
func (s *server) crash() error { return s.end("kill") }

func (s *server) end(command string) error {
	_, err := services(command, "--name", s.name, "postgres")
	return err
}

// quit ends PostgreSQL without a checkpoint (immediate shutdown).
func (s *server) quit() error {
	pid, err := s.pid()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
		return fmt.Errorf("quit PostgreSQL: %w", err)
	}
	return s.stop() // waits for the end
}

// signal sends a signal to all processes of the server.
func (s *server) signal(signal syscall.Signal) error {
	pid, err := s.pid()
	if err != nil {
		return err
	}
	return signalTree(pid, signal)
}

// pid returns the process id of the server.
func (s *server) pid() (int, error) {
	content, err := os.ReadFile(filepath.Join(s.folder, "postgres.pid"))
	if err != nil {
		return 0, fmt.Errorf("process of PostgreSQL: %w", err)
	}
	first, _, _ := strings.Cut(string(content), " ")
	return strconv.Atoi(strings.TrimSpace(first))
}

// as returns the URL of the database for a role.
func (s *server) as(role string) *url.URL {
	u, _ := url.Parse(s.env["DATABASE_URL"]) // never fails: the test creates the URL
	return withRole(u, role)
}

// withRole returns the URL for another role with the same password.
func withRole(u *url.URL, role string) *url.URL {
	other := *u
	password, _ := u.User.Password()
	other.User = url.UserPassword(role, password)
	return &other
}

// database is a PostgreSQL server: the first primary, or the standby that replaces it.
type database interface {
	up() error    // start it
	stop() error  // end it with a checkpoint
	quit() error  // end it without a checkpoint
	crash() error // end it with SIGKILL
	signal(s syscall.Signal) error
	as(role string) *url.URL
}

func services(args ...string) (string, error) {
	var out, errOut bytes.Buffer
	cmd := exec.Command(servicesScript, args...)
	cmd.Env = append(os.Environ(), "SERVICES_PG_FSYNC=on")
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", err, errOut.String())
	}
	return out.String(), nil
}

// purge removes a server immediately.
func purge(name string) {
	_, _ = services("kill", "--name", name)
	_, _ = services("down", "--name", name, "--purge")
}

// leftovers are the functions of cleanUp that have not run yet.
var leftovers struct {
	mu  sync.Mutex
	all []*func()
}

// cleanUp runs a function once: when the test ends, or when the program ends without running cleanups.
func cleanUp(t *testing.T, function func()) {
	t.Helper()
	once := sync.OnceFunc(function)
	leftovers.mu.Lock()
	leftovers.all = append(leftovers.all, &once)
	leftovers.mu.Unlock()
	t.Cleanup(func() {
		once()
		leftovers.mu.Lock()
		defer leftovers.mu.Unlock()
		leftovers.all = slices.DeleteFunc(leftovers.all, func(other *func()) bool { return other == &once })
	})
}

// cleanUpAll runs the remaining functions in reverse order.
func cleanUpAll() {
	leftovers.mu.Lock()
	all := slices.Clone(leftovers.all)
	leftovers.mu.Unlock()
	for _, function := range slices.Backward(all) {
		(*function)()
	}
}
