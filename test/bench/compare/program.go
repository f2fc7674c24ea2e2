package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	accounts = 64 // of each program; the measured requests use them in turn
	password = "seven green kettles sing"
)

// program is a running program with its own database.
type program struct {
	name   string
	addr   string
	cmd    *exec.Cmd
	dsn    string
	ids    []string
	tokens []string
	run    string // makes the emails of the run unique
}

// bench has both programs and their PostgreSQL server.
type bench struct {
	dir            string
	floor, service *program
	postgres       int // the pid of the server
	cpus           *cpuGroup
}

// start builds and starts both programs, and registers their accounts.
func start(ctx context.Context, cfg config) (b *bench, err error) {
	b = &bench{}
	defer func() {
		if err != nil {
			b.close()
			b = nil
		}
	}()
	if b.dir, err = os.MkdirTemp("", "user-service-compare-"); err != nil {
		return b, err
	}
	if b.postgres, err = serverPID(ctx); err != nil {
		return b, err
	}
	if cfg.cpus > 0 {
		if b.cpus, err = newCPUGroup(cfg.cpus); err != nil {
			return b, err
		}
	}
	if b.floor, err = b.startFloor(ctx); err != nil {
		return b, fmt.Errorf("start the floor: %w", err)
	}
	if b.service, err = b.startService(ctx, cfg.program); err != nil {
		return b, fmt.Errorf("start the service: %w", err)
	}
	for _, p := range []*program{b.floor, b.service} {
		if err = p.fill(); err != nil {
			return b, fmt.Errorf("prepare %s: %w", p.name, err)
		}
	}
	return b, nil
}

// close ends both programs and deletes their databases.
func (b *bench) close() {
	for _, p := range []*program{b.floor, b.service} {
		if p == nil {
			continue
		}
		if p.cmd.Process != nil {
			_ = p.cmd.Process.Signal(syscall.SIGKILL)
			_ = p.cmd.Wait()
		}
		_ = execute(context.Background(), "DROP DATABASE IF EXISTS "+p.database()+" WITH (FORCE)")
	}
	b.cpus.close()
	_ = os.RemoveAll(b.dir)
}

func (p *program) database() string { return "compare_" + p.name }

// serverPID returns the pid of the PostgreSQL server.
func serverPID(ctx context.Context) (int, error) {
	conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return 0, fmt.Errorf("DATABASE_URL: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var backend int
	if err := conn.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&backend); err != nil {
		return 0, err
	}
	return parentOf(backend)
}

// execute runs a statement on the database of DATABASE_URL.
func execute(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return fmt.Errorf("DATABASE_URL: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

// prepare creates the database of a program.
func (b *bench) prepare(ctx context.Context, name string) (*program, error) {
	p := &program{name: name, run: rand.Text()}
	if err := execute(ctx, "DROP DATABASE IF EXISTS "+p.database()+" WITH (FORCE)"); err != nil {
		return nil, err
	}
	if err := execute(ctx, "CREATE DATABASE "+p.database()); err != nil {
		return nil, err
	}
	u, err := url.Parse(os.Getenv("DATABASE_URL"))
	if err != nil {
		return nil, errors.New("DATABASE_URL is not a URL")
	}
	u.Path = "/" + p.database()
	p.dsn = u.String()
	p.addr, err = freeAddress()
	return p, err
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns immediately
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (b *bench) startFloor(ctx context.Context) (*program, error) {
	file := filepath.Join(b.dir, "floor")
	if err := build(ctx, file, "user-service/test/bench/floor"); err != nil {
		return nil, err
	}
	p, err := b.prepare(ctx, "floor")
	if err != nil {
		return nil, err
	}
	p.cmd = b.command(ctx, file, "serve", "-listen", p.addr, "-hashes", strconv.Itoa(runtime.GOMAXPROCS(0)))
	p.cmd.Env = append(os.Environ(), "DATABASE_URL="+p.dsn, "JWT_SECRET="+rand.Text()+rand.Text())
	return p, p.start(b.dir)
}

func (b *bench) startService(ctx context.Context, file string) (*program, error) {
	if file == "" {
		file = filepath.Join(b.dir, "user-service")
		if err := build(ctx, file, "user-service/cmd/user-service"); err != nil {
			return nil, err
		}
	}
	p, err := b.prepare(ctx, "service")
	if err != nil {
		return nil, err
	}
	env := append(os.Environ(), "DATABASE_URL="+p.dsn, "MIGRATION_DATABASE_URL=", "HTTP_ADDR="+p.addr, "METRICS_ADDR=127.0.0.1:0",
		"JWT_SECRET="+rand.Text()+rand.Text(), "RATE_LIMIT_PER_MINUTE=0", "VERIFY_EMAIL_AT_REGISTRATION=false")
	migrate := exec.CommandContext(ctx, file, "migrate", "up")
	migrate.Env = env
	if out, err := migrate.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("migrate: %w\n%s", err, out)
	}
	p.cmd = b.command(ctx, file, "serve")
	p.cmd.Env = env
	return p, p.start(b.dir)
}

// build builds a program of this module as make build does.
func build(ctx context.Context, file, pkg string) error {
	args := []string{"build", "-tags", "grpcnotrace", "-trimpath", "-ldflags", "-s -w", "-o", file, pkg}
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // a package of this module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// start starts a program with its log in a file, and waits until it responds.
func (p *program) start(dir string) error {
	log, err := os.Create(filepath.Join(dir, p.name+".log")) //nolint:gosec // in a directory of this program
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	for range 200 {
		if c, err := dial(p.addr); err == nil {
			a, err := c.do(requestBytes(http.MethodGet, "/users/me", "", ""))
			_ = c.conn.Close()
			if err == nil && a.status == http.StatusUnauthorized {
				return nil
			}
		}
		pauseUntil(time.Now().Add(50 * time.Millisecond))
	}
	tail, _ := os.ReadFile(log.Name())
	return fmt.Errorf("it does not respond; its log:\n%s", tail)
}

func (p *program) email(n int) string { return fmt.Sprintf("user-%d-%s@example.com", n, p.run) }

func (p *program) credentials(n int) string {
	return fmt.Sprintf(`{"email": %q, "password": %q}`, p.email(n), password)
}

// fill registers the accounts and logs in to each of them.
func (p *program) fill() error {
	c, err := dial(p.addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.conn.Close() }()
	for n := range accounts {
		var created struct {
			ID string `json:"id"`
		}
		if err := post(c, "/register", p.credentials(n), &created); err != nil {
			return err
		}
		var login struct {
			AccessToken string `json:"access_token"`
		}
		if err := post(c, "/login", p.credentials(n), &login); err != nil {
			return err
		}
		p.ids, p.tokens = append(p.ids, created.ID), append(p.tokens, login.AccessToken)
	}
	return nil
}

func post(c *client, path, body string, into any) error {
	a, err := c.do(requestBytes(http.MethodPost, path, "", body))
	if err != nil {
		return err
	}
	if a.status >= http.StatusBadRequest {
		return fmt.Errorf("POST %s: %d: %s", path, a.status, a.body)
	}
	return json.Unmarshal(a.body, into)
}
