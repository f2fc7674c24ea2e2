package config_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sethvargo/go-envconfig"

	"user-service/internal/testkit"
	"user-service/pkg/config"
)

// mount is a directory with the files of several variables, and a Watcher for these files.
type mount struct {
	t   *testing.T
	dir string

	mu      sync.Mutex
	applied []string // the values that the handlers got, in order
	log     bytes.Buffer
	broker  string // user, host and port of the last settings of RabbitMQ
	refuse  error  // the error that the handlers return

	rejected atomic.Int64 // the last number that OnRejected got
}

// watched runs a Watcher for valid files until the test ends.
func watched(t *testing.T) *mount {
	t.Helper()
	m := &mount{t: t, dir: t.TempDir()}
	env := required()
	for name, value := range map[string]string{
		"DATABASE_URL": required()["DATABASE_URL"], "RABBITMQ_PASS": planted, "JWT_SECRET": planted,
		"RABBITMQ_HOST": "rabbit", "RABBITMQ_PORT": "5672", "RABBITMQ_USER": "app",
		"JWT_ACCEPTED_SECRETS": "", "JWT_PRIVATE_KEY": "", "JWT_ACCEPTED_KEYS": "",
		"DATA_KEY": "", "DATA_ACCEPTED_KEYS": "",
	} {
		delete(env, name)
		env[name+"_FILE"] = m.path(name)
		m.write(name, value)
	}
	handlers := config.Handlers{
		Database: func(_ context.Context, d config.Database) error { return m.apply(d.URL.Reveal()) },
		RabbitMQ: func(_ context.Context, q config.RabbitMQ) error {
			if err := m.apply(q.Password.Reveal()); err != nil {
				return err
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			m.broker = fmt.Sprintf("%s@%s:%d", q.User, q.Host, q.Port)
			return nil
		},
		DataKeys: func(_ context.Context, d config.DataKeys) error {
			return m.apply(d.Key.Reveal() + "|" + d.Accepted.Reveal())
		},
		Tokens: func(_ context.Context, k config.Tokens) error {
			secrets := fmt.Sprintf("%s|%s", k.Secret.Reveal(), k.Accepted())
			return m.apply(fmt.Sprintf("%s|%s|%s", secrets, k.PrivateKey.Reveal(), k.AcceptedKeys.Reveal()))
		},
	}
	w := config.NewWatcher(envconfig.MapLookuper(env), handlers, config.WatcherConfig{
		Interval: time.Millisecond, Log: slog.New(slog.NewTextHandler(m, nil)),
		OnRejected: func(variables int) { m.rejected.Store(int64(variables)) },
		Checks: []config.Check{
			{Name: "JWT_PRIVATE_KEY", Validate: mustContainKey},
			{Name: "JWT_ACCEPTED_KEYS", Validate: mustContainKey},
		},
	})
	cfg := mustLoad(t, env)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx, &cfg) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return m
}

func mustContainKey(value string) error {
	if !strings.Contains(value, "key") {
		return errors.New("is not a key")
	}
	return nil
}

func (m *mount) path(name string) string { return filepath.Join(m.dir, name) }

// write replaces a file atomically.
func (m *mount) write(name, value string) {
	m.t.Helper()
	next := m.path("." + name)
	if err := errors.Join(os.WriteFile(next, []byte(value), 0o600), os.Rename(next, m.path(name))); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mount) apply(what string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		return m.refuse
	}
	m.applied = append(m.applied, what)
	return nil
}

// Write implements io.Writer for the log.
func (m *mount) Write(line []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.Write(line)
}

func (m *mount) logged() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.String()
}

// await waits until the handlers have got these values.
func (m *mount) await(want ...string) {
	m.t.Helper()
	m.until("the values of the handlers", func() string { return cmp.Diff(want, m.applied) })
}

// awaitLog waits until the log has a line about the variable that contains the text.
func (m *mount) awaitLog(variable, text string) {
	m.t.Helper()
	m.until("the log about "+variable, func() string {
		for line := range strings.Lines(m.log.String()) {
			if strings.Contains(line, "variable="+variable) && strings.Contains(line, text) {
				return ""
			}
		}
		return "no " + text + " in\n" + m.log.String()
	})
}

func (m *mount) awaitRejected(variables int64) {
	m.t.Helper()
	m.until("the number of rejected values", func() string {
		if got := m.rejected.Load(); got != variables {
			return fmt.Sprintf("%d, want %d", got, variables)
		}
		return ""
	})
}

func (m *mount) until(what string, missing func() string) {
	m.t.Helper()
	var diff string
	if !testkit.Await(m.t.Context(), testkit.Timeout, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		diff = missing()
		return diff == ""
	}) {
		m.t.Fatalf("timed out after %s waiting for %s: %s", testkit.Timeout, what, diff)
	}
}

const rotated = "rotated-battery-staple-0123456789-01"

func TestANewValueIsApplied(t *testing.T) {
	t.Parallel()
	m := watched(t)
	m.write("RABBITMQ_PASS", rotated+"\n")
	m.await(rotated)
	m.write("DATABASE_URL", "postgres://app:"+rotated+"@db/app\r\n")
	m.await(rotated, "postgres://app:"+rotated+"@db/app")
	for _, name := range []string{"RABBITMQ_PASS", "DATABASE_URL"} {
		m.awaitLog(name, "applied a new value")
	}
	if strings.Contains(m.logged(), rotated) {
		t.Errorf("the log contains a value: %s", m.logged())
	}
}

func TestKeysThatChangeTogetherAreAppliedTogether(t *testing.T) {
	t.Parallel()
	m := watched(t)
	m.write("JWT_ACCEPTED_SECRETS", rotated)
	first := planted + "|[" + rotated + "]||"
	m.await(first)
	next := t.TempDir()
	for name, value := range map[string]string{
		"JWT_SECRET": rotated, "JWT_ACCEPTED_SECRETS": planted + ", ", "JWT_PRIVATE_KEY": "key", "JWT_ACCEPTED_KEYS": "key",
	} {
		if err := os.WriteFile(filepath.Join(next, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"JWT_SECRET", "JWT_ACCEPTED_SECRETS", "JWT_PRIVATE_KEY", "JWT_ACCEPTED_KEYS"} {
		if err := os.Rename(filepath.Join(next, name), m.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	var last string
	isLast := func() string { return cmp.Diff(last, m.applied[len(m.applied)-1]) }
	last = rotated + "|[" + planted + "]|key|key"
	m.until("the last keys", isLast)
	m.write("JWT_ACCEPTED_SECRETS", "\n") // no longer accepted
	m.write("JWT_ACCEPTED_KEYS", "")
	last = rotated + "|[]|key|"
	m.until("the retired keys", isLast)
}

// TestASwappedDirectoryIsNoticed changes files as Kubernetes does in the volume of a Secret. Each file is a symbolic link to a path
// through ..data, which is a link to a directory. To change all files, ..data is replaced.
func TestASwappedDirectoryIsNoticed(t *testing.T) {
	t.Parallel()
	m := watched(t)
	generation := func(n int, pass, secret string) {
		t.Helper()
		dir := m.path(fmt.Sprintf("..generation-%d", n))
		if err := errors.Join(
			os.Mkdir(dir, 0o700),
			os.WriteFile(filepath.Join(dir, "RABBITMQ_PASS"), []byte(pass), 0o400),
			os.WriteFile(filepath.Join(dir, "JWT_SECRET"), []byte(secret), 0o400),
			os.Symlink(filepath.Base(dir), m.path("..data_tmp")),
			os.Rename(m.path("..data_tmp"), m.path("..data")),
		); err != nil {
			t.Fatal(err)
		}
	}
	generation(1, planted, planted)
	for _, name := range []string{"RABBITMQ_PASS", "JWT_SECRET"} {
		if err := errors.Join(os.Symlink("..data/"+name, m.path("link")), os.Rename(m.path("link"), m.path(name))); err != nil {
			t.Fatal(err)
		}
	}
	generation(2, rotated, rotated)
	m.await(rotated, rotated+"|[]||")
	generation(3, planted, rotated)
	m.await(rotated, rotated+"|[]||", planted)
}

func TestABadNewValueKeepsTheOldOne(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		variable string
		change   func(*mount)
		want     string
	}{
		"deleted": {"JWT_SECRET", func(m *mount) { _ = os.Remove(m.path("JWT_SECRET")) }, "no such file"},
		"truncated": {
			"JWT_SECRET", func(m *mount) { _ = os.Truncate(m.path("JWT_SECRET"), 20) },
			"has 20 bytes and needs at least 32",
		},
		"empty":          {"JWT_SECRET", func(m *mount) { m.write("JWT_SECRET", "") }, "is empty in the file of JWT_SECRET_FILE"},
		"only a newline": {"RABBITMQ_PASS", func(m *mount) { m.write("RABBITMQ_PASS", "\n") }, "is empty"},
		"dangling link": {"RABBITMQ_PASS", func(m *mount) {
			_ = errors.Join(os.Remove(m.path("RABBITMQ_PASS")), os.Symlink("gone", m.path("RABBITMQ_PASS")))
		}, "no such file"},
		"a directory": {"RABBITMQ_PASS", func(m *mount) {
			_ = errors.Join(os.Remove(m.path("RABBITMQ_PASS")), os.Mkdir(m.path("RABBITMQ_PASS"), 0o700))
		}, "is a directory"},
		"not a URL": {"DATABASE_URL", func(m *mount) { m.write("DATABASE_URL", "mysql://db") }, "is not a PostgreSQL URL"},
		"short accepted": {"JWT_ACCEPTED_SECRETS", func(m *mount) {
			m.write("JWT_ACCEPTED_SECRETS", rotated+",short")
		}, "has a secret that has 5 bytes"},
		"no key":          {"JWT_PRIVATE_KEY", func(m *mount) { m.write("JWT_PRIVATE_KEY", "nothing") }, "is not a key"},
		"no accepted key": {"JWT_ACCEPTED_KEYS", func(m *mount) { m.write("JWT_ACCEPTED_KEYS", "nothing") }, "is not a key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := watched(t)
			test.change(m)
			m.awaitLog(test.variable, test.want)
			other, want := "DATABASE_URL", "postgres://app:"+rotated+"@db/app" // another group
			if test.variable == other {
				other, want = "RABBITMQ_PASS", rotated
			}
			m.write(other, want)
			m.await(want)
			if n := strings.Count(m.logged(), "variable="+test.variable+" "); n != 1 {
				t.Errorf("the problem was logged %d times, want once:\n%s", n, m.logged())
			}
		})
	}
}

func TestAnEmptiedPrivateKeyStaysInUse(t *testing.T) {
	t.Parallel()
	m := watched(t)
	m.write("JWT_PRIVATE_KEY", "key")
	m.await(planted + "|[]|key|")
	m.write("JWT_PRIVATE_KEY", "")
	m.awaitLog("JWT_PRIVATE_KEY", "is empty now")
	m.write("JWT_ACCEPTED_KEYS", "key too") // belongs to the same group as JWT_PRIVATE_KEY
	m.awaitLog("JWT_ACCEPTED_KEYS", "belongs to JWT_PRIVATE_KEY")
	m.write("JWT_PRIVATE_KEY", "key")
	m.await(planted+"|[]|key|", planted+"|[]|key|key too")
}

// TestKeysAreAppliedAllOrNothing changes two secrets, one of them to an invalid value. Neither may take effect: if the service signed
// with the new secret without accepting the old one, it would refuse all earlier tokens.
func TestKeysAreAppliedAllOrNothing(t *testing.T) {
	t.Parallel()
	m := watched(t)
	m.write("JWT_ACCEPTED_SECRETS", planted+",short")
	m.write("JWT_SECRET", rotated)
	m.awaitLog("JWT_ACCEPTED_SECRETS", "has a secret that has 5 bytes")
	m.awaitLog("JWT_SECRET", "belongs to JWT_ACCEPTED_SECRETS")
	m.write("RABBITMQ_PASS", rotated) // another group
	m.await(rotated)
	m.write("JWT_ACCEPTED_SECRETS", planted)
	m.await(rotated, rotated+"|["+planted+"]||")
}

// TestBrokerSettingsAreAppliedAllOrNothing changes several settings of the broker, one of them to an invalid value. The others must not
// take effect, because a password belongs to one broker and one user.
func TestBrokerSettingsAreAppliedAllOrNothing(t *testing.T) {
	t.Parallel()
	m := watched(t)
	m.write("RABBITMQ_PORT", "70000")
	m.write("RABBITMQ_HOST", "next.example.com")
	m.write("RABBITMQ_USER", "other\n")
	m.write("RABBITMQ_PASS", rotated)
	m.awaitLog("RABBITMQ_PORT", "is out of range")
	m.awaitLog("RABBITMQ_PASS", "belongs to RABBITMQ_PORT")
	for value, problem := range map[string]string{"amqp": "can't be parsed", "": "is empty"} {
		m.write("RABBITMQ_PORT", value)
		m.awaitLog("RABBITMQ_PORT", problem)
	}
	m.write("RABBITMQ_PORT", "5671")
	m.until("the broker", func() string { return cmp.Diff("other@next.example.com:5671", m.broker) })
	m.write("RABBITMQ_HOST", "amqp://next.example.com")
	m.awaitLog("RABBITMQ_HOST", "is not a host name or an IP address")
	m.await(rotated) // once
}

func TestARefusedValueIsRetried(t *testing.T) {
	t.Parallel()
	m := watched(t)
	m.mu.Lock()
	m.refuse = errors.New("is refused by the server")
	m.mu.Unlock()
	m.write("DATABASE_URL", "postgres://app:"+rotated+"@db/app")
	m.awaitLog("DATABASE_URL", "is refused by the server")
	m.awaitRejected(1)
	m.mu.Lock()
	m.refuse = nil
	m.mu.Unlock()
	m.await("postgres://app:" + rotated + "@db/app")
	m.awaitRejected(0)
	if n := strings.Count(m.logged(), "is refused"); n != 1 {
		t.Errorf("the problem was logged %d times, want once", n)
	}
}

func TestWithoutFilesNothingIsWatched(t *testing.T) {
	t.Parallel()
	w := config.NewWatcher(envconfig.MapLookuper(required()), config.Handlers{}, config.WatcherConfig{Interval: time.Hour})
	cfg := mustLoad(t, required())
	w.Run(t.Context(), &cfg) // returns immediately
}
