package bench_test

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/password"
	"user-service/pkg/postgres"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/token"
	"user-service/pkg/user"
)

const stormPassword = "seven green kettles sing"

// stormSecret signs the tokens of the replica and of those who call it.
var stormSecret = rand.Text() + rand.Text()

func stormEmail(account int) string { return fmt.Sprintf("user-%d@example.com", account) }

// replica is the program with its defaults, as a process of its own.
type replica struct {
	cmd    *exec.Cmd
	url    string
	client *http.Client
	token  string // of somebody who is logged in
}

// startReplica starts the program on a database with accounts. So far it has hashed nothing.
func startReplica(b *testing.B) *replica {
	b.Helper()
	dsn, broker := postgrestest.URL(b), broker(b)
	s := &replica{
		url: "http://" + freeAddress(b), token: fill(b, postgrestest.Connect(b, dsn, nil)),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * stormLogins}},
	}
	program := filepath.Join(b.TempDir(), "user-service")
	if out, err := exec.Command("go", "build", "-o", program, "user-service/cmd/user-service").CombinedOutput(); err != nil {
		b.Fatalf("build the program: %v\n%s", err, out)
	}
	s.cmd = exec.Command(program, "serve")
	s.cmd.Stderr = os.Stderr
	s.cmd.Env = []string{
		"DATABASE_URL=" + dsn, "HTTP_ADDR=" + s.url[len("http://"):], "METRICS_ADDR=127.0.0.1:0", "LOG_LEVEL=error",
		"RABBITMQ_HOST=" + broker.Host, fmt.Sprint("RABBITMQ_PORT=", broker.Port), "RABBITMQ_USER=" + broker.User,
		"RABBITMQ_PASS=" + broker.Password(), "JWT_SECRET=" + stormSecret, "RATE_LIMIT_PER_MINUTE=0",
	}
	for _, name := range []string{"PASSWORD_HASH_CONCURRENCY", "PASSWORD_HASH_QUEUE", "GOMAXPROCS", "GOGC", "GODEBUG"} { // to try others
		if value := os.Getenv(name); value != "" {
			s.cmd.Env = append(s.cmd.Env, name+"="+value)
		}
	}
	if err := s.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	})
	for began := time.Now(); ; <-time.After(20 * time.Millisecond) {
		if status, _ := s.call(http.MethodGet, "/users/me", ""); status == http.StatusOK {
			return s
		}
		if time.Since(began) > time.Minute {
			b.Fatal("the program does not serve")
		}
	}
}

// fill makes the accounts, with hashes by the program's defaults, and logs one in.
func fill(b *testing.B, db *postgres.DB) (accessToken string) {
	b.Helper()
	hasher, err := password.NewHasher(password.Params{MemoryKiB: 19456, Iterations: 2, Parallelism: 1},
		password.Limits{Concurrency: 1, MaxWait: time.Minute}, nil)
	if err != nil {
		b.Fatal(err)
	}
	tokens, err := token.New(token.Config{
		Keys: token.Keys{Secret: stormSecret}, Issuer: "user-service", Audience: "user-service", AccessTTL: time.Hour,
	})
	if err != nil {
		b.Fatal(err)
	}
	users := user.New(user.Config{Passwords: password.Policy{MinLength: 15}, RefreshIdleTTL: time.Hour, RefreshTTL: time.Hour}, db, hasher, tokens)
	for n := range stormAccounts + 1 { // the one that reads takes no part in the storm
		if _, err := users.Create(b.Context(), access.Internal(uuid.Nil), user.Registration{Email: stormEmail(n), Password: stormPassword}, "user"); err != nil {
			b.Fatal(err)
		}
	}
	pair, err := users.Login(b.Context(), user.Login{Email: stormEmail(stormAccounts), Password: stormPassword})
	if err != nil {
		b.Fatal(err)
	}
	return pair.Access
}

func freeAddress(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
