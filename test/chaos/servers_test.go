package chaos_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"sync"
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

// sharedBroker says where the RabbitMQ is that all tests share, which none may stop.
func sharedBroker(t *testing.T) settings {
	t.Helper()
	env := settings{}
	for _, name := range []string{"RABBITMQ_HOST", "RABBITMQ_PORT", "RABBITMQ_USER", "RABBITMQ_PASS"} {
		if env[name] = os.Getenv(name); env[name] == "" {
			t.Fatalf(`%s is not set: run "make test", or: tools/dev/with-services go test ./test/chaos`, name)
		}
	}
	return env
}

// server is a PostgreSQL or a RabbitMQ of one test's own, which it may stop.
type server struct {
	t    *testing.T
	kind string // as tools/dev/services calls it
	name string
	env  settings // where it is
}

// owned has the names of all servers that were started and not purged.
var owned sync.Map

// own starts a server for one test. What is committed or confirmed is on disk.
func own(t *testing.T, kind string) *server {
	t.Helper()
	s := &server{t: t, kind: kind, name: fmt.Sprintf("chaos-%d-%s", os.Getpid(), kind)}
	owned.Store(s.name, nil)
	t.Cleanup(func() { purge(s.name) })
	s.up()
	return s
}

var exported = regexp.MustCompile(`(?m)^export (\w+)='(.*)'$`)

// up starts the server, on the port that it had before.
func (s *server) up() {
	s.t.Helper()
	env := settings{}
	for _, line := range exported.FindAllStringSubmatch(s.do("up"), -1) {
		env[line[1]] = line[2]
	}
	if s.env != nil && !maps.Equal(s.env, env) {
		s.t.Fatalf("%s came back at another place", s.kind)
	}
	s.env = env
}

// stop ends the server in order.
func (s *server) stop() { s.t.Helper(); s.do("down") }

// crash ends the server by SIGKILL.
func (s *server) crash() { s.t.Helper(); s.do("kill") }

func (s *server) do(command string) string {
	s.t.Helper()
	out, err := services(command, "--name", s.name, s.kind)
	if err != nil {
		s.t.Fatalf("%s %s: %v", command, s.kind, err)
	}
	return out
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
	owned.Delete(name)
}

// purgeAll removes all servers that tests own, for an end that runs no cleanups.
func purgeAll() {
	owned.Range(func(name, _ any) bool {
		purge(name.(string))
		return true
	})
}
