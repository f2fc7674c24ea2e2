package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"maps"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"user-service/pkg/postgres/postgrestest"
)

// TestMain puts this program on the PATH.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"user-service": main})
}

// TestScripts runs the commands of operators. Each script in testdata/script has its own empty database. All scripts share the broker.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     exits,
			"await":     await,
			"serving":   serving,
			"http":      request,
			"terminate": terminate,
			"occupy":    occupy,
			"jsonlines": jsonLines,
			"hides":     hides,
			"sql":       execute,
			"with":      withSetting,
		},
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			for name, value := range environment(env.T().(testing.TB)) {
				env.Setenv(name, value)
			}
			return nil
		},
	})
}

// secrets are values that must not be in any output. The same holds for the passwords of the servers.
var secrets = map[string]string{
	"JWT_SECRET": "planted-key-" + rand.Text() + rand.Text(),
	"EMAIL":      "planted-email@example.com",
	"PASSWORD":   "planted password of many words",
}

// environment returns a valid environment with an empty database.
func environment(t testing.TB) map[string]string {
	t.Helper()
	env := map[string]string{
		"DATABASE_URL":      postgrestest.Empty(t),
		"HTTP_ADDR":         "127.0.0.1:0",
		"METRICS_ADDR":      "127.0.0.1:0",
		"SHUTDOWN_DELAY":    "0s",
		"ARGON2_MEMORY_KIB": "8", // makes hashes cheap, and so the tests fast
		"ARGON2_ITERATIONS": "1",
		"GORACE":            "atexit_sleep_ms=0", // otherwise each process waits a second at its end
	}
	maps.Copy(env, secrets)
	for _, name := range []string{"RABBITMQ_HOST", "RABBITMQ_PORT", "RABBITMQ_USER", "RABBITMQ_PASS"} {
		env[name] = os.Getenv(name)
		if env[name] == "" {
			t.Fatalf("%s is not set: run make test", name)
		}
	}
	u, err := url.Parse(env["DATABASE_URL"])
	if err != nil {
		t.Fatal("DATABASE_URL is not a URL")
	}
	env["DATABASE_PASSWORD"], _ = u.User.Password()
	return env
}

// A Job that runs migrate up must fail if it is interrupted.
func TestAnInterruptedMigrationHasFailed(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var out, errOut bytes.Buffer
	code := exitCode(run(ctx, []string{"migrate", "status"}, nil, &out, &errOut), &errOut)
	if code != exitFailed || !strings.HasPrefix(errOut.String(), "user-service: interrupted: migrate status: ") {
		t.Errorf("the exit code is %d and the error %s, want %d and an interrupted migrate status", code, &errOut, exitFailed)
	}
}
