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
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"
)

const servicesScript = "../../tools/dev/services"

// settings are environment variables.
type settings map[string]string

func (s settings) with(more settings) settings {
	all := maps.Clone(s)
	maps.Copy(all, more)
	return all
}

// server is a PostgreSQL or a RabbitMQ of one test's own, which it may stop.
type server struct {
	kind   string // as tools/dev/services calls it
	name   string
	folder string   // with its data, its password and the file that names its process
	env    settings // where it is
}

var started int // servers, for their names

// own starts servers for one test, all at the same time. What is committed or confirmed is on disk.
func own(t *testing.T, kinds ...string) (servers []*server) {
	t.Helper()
	var starting errgroup.Group
	for _, kind := range kinds {
		started++
		s := &server{kind: kind, name: fmt.Sprintf("chaos-%d-%d", os.Getpid(), started)}
		cleanUp(t, func() { purge(s.name) })
		servers = append(servers, s)
		starting.Go(func() (err error) {
			if err = s.up(); err != nil {
				return err
			}
			s.folder, err = services("folder", "--name", s.name)
			s.folder = strings.TrimSpace(s.folder)
			return err
		})
	}
	if err := starting.Wait(); err != nil {
		t.Fatal(err)
	}
	return servers
}

var exported = regexp.MustCompile(`(?m)^export (\w+)='(.*)'$`)

// up starts the server, on the port that it had before.
func (s *server) up() error {
	out, err := services("up", "--name", s.name, s.kind)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.kind, err)
	}
	env := settings{}
	for _, line := range exported.FindAllStringSubmatch(out, -1) {
		env[line[1]] = line[2]
	}
	if s.env != nil && !maps.Equal(s.env, env) {
		return fmt.Errorf("%s came back at another place", s.kind)
	}
	s.env = env
	return nil
}

// stop ends the server in order.
func (s *server) stop() error { return s.end("down") }

// crash ends the server by SIGKILL.
func (s *server) crash() error { return s.end("kill") }

func (s *server) end(command string) error {
	_, err := services(command, "--name", s.name, s.kind)
	return err
}

// quit ends PostgreSQL without a checkpoint: the immediate shutdown.
func (s *server) quit() error {
	pid, err := s.pid()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
		return fmt.Errorf("quit %s: %w", s.kind, err)
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

// signalTree sends a signal to a process and its children, which may have process groups of their own.
func signalTree(pid int, signal syscall.Signal) error {
	if err := syscall.Kill(pid, signal); err != nil {
		return fmt.Errorf("signal process %d: %w", pid, err)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return fmt.Errorf("children of process %d: %w", pid, err)
	}
	for _, field := range strings.Fields(string(children)) {
		child, _ := strconv.Atoi(field)
		if err := signalTree(child, signal); err != nil && !errors.Is(err, syscall.ESRCH) && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// pid returns the process of the server.
func (s *server) pid() (int, error) {
	content, err := os.ReadFile(filepath.Join(s.folder, s.kind+".pid"))
	if err != nil {
		return 0, fmt.Errorf("process of %s: %w", s.kind, err)
	}
	first, _, _ := strings.Cut(string(content), " ")
	return strconv.Atoi(strings.TrimSpace(first))
}

// as returns the URL of the database for a role.
func (s *server) as(role string) *url.URL {
	u, _ := url.Parse(s.env["DATABASE_URL"]) // of our own making
	return withRole(u, role)
}

// withRole returns a URL for another role, which has the same password.
func withRole(u *url.URL, role string) *url.URL {
	other := *u
	password, _ := u.User.Password()
	other.User = url.UserPassword(role, password)
	return &other
}

// database is a server of PostgreSQL.
type database interface {
	up() error    // start it
	stop() error  // end it in order
	quit() error  // end it without a checkpoint
	crash() error // end it by SIGKILL
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

// purge removes a server, at once.
func purge(name string) {
	_, _ = services("kill", "--name", name)
	_, _ = services("down", "--name", name, "--purge")
}

// leftovers are the functions of cleanUp that have not run yet.
var leftovers struct {
	mu  sync.Mutex
	all []*func()
}

// cleanUp runs a function once: when the test ends, or for an end of the program that runs no cleanups.
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

// cleanUpAll does what is left to do, the last first.
func cleanUpAll() {
	leftovers.mu.Lock()
	all := slices.Clone(leftovers.all)
	leftovers.mu.Unlock()
	for _, function := range slices.Backward(all) {
		(*function)()
	}
}
