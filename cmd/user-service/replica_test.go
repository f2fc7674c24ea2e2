package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"

	"user-service/internal/testkit"
	"user-service/pkg/config"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/telemetry"
)

// replica is the service in this process, with secrets in files that it reads every 20 ms.
type replica struct {
	t       *testing.T
	client  *http.Client
	api     string
	log     *testkit.Buffer
	mount   string
	swaps   int
	applied int // new values so far
}

// startReplica runs a replica until the test ends. files maps variables to the values that the replica reads from files.
func startReplica(t *testing.T, env, files map[string]string) *replica {
	t.Helper()
	r := &replica{
		t: t, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}},
		log: &testkit.Buffer{}, mount: t.TempDir(),
	}
	r.swap(files)
	env = maps.Clone(env)
	for name := range files {
		delete(env, name)
		env[name+"_FILE"] = filepath.Join(r.mount, "data", name)
	}
	lookup := envconfig.MapLookuper(env)
	var cfg config.Config
	if err := config.Load(lookup, &cfg, secretChecks()...); err != nil {
		t.Fatal(err)
	}
	s, err := newService(t.Context(), cfg, telemetry.NewLogger(r.log, slog.LevelInfo), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.watcher = s.newWatcher(lookup, 20*time.Millisecond)
	s.stopTracing = func(context.Context) error { return nil }
	listeners, err := listen(t.Context(), cfg.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	r.api = "http://" + listeners.api.Addr().String()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, listeners) }()
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return r
}

// swap replaces the directory of files atomically, like Kubernetes in the volume of a Secret.
func (r *replica) swap(files map[string]string) {
	r.t.Helper()
	r.swaps++
	dir := filepath.Join(r.mount, strconv.Itoa(r.swaps))
	r.check(os.Mkdir(dir, 0o700))
	for name, content := range files {
		r.check(os.WriteFile(filepath.Join(dir, name), []byte(content+"\n"), 0o400))
	}
	link := filepath.Join(r.mount, "next")
	r.check(os.Symlink(dir, link))
	r.check(os.Rename(link, filepath.Join(r.mount, "data")))
}

// otherLogs returns the log without the lines of requests.
func (r *replica) otherLogs() string {
	var lines strings.Builder
	for line := range strings.Lines(r.log.String()) {
		if !strings.Contains(line, `"msg":"request"`) {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

func (r *replica) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// rotate swaps the files, and waits until the replica has applied this number of new values.
func (r *replica) rotate(files map[string]string, changes int) {
	r.t.Helper()
	r.swap(files)
	r.applied += changes
	if !testkit.Await(context.Background(), patience, func() bool {
		return strings.Count(r.log.String(), "applied a new value") >= r.applied
	}) {
		r.t.Fatalf("the files %d were not applied:\n%s", r.swaps, r.otherLogs())
	}
}

// call sends a request and decodes the response into out, which may be nil. It retries while the service is busy.
func (r *replica) call(method, path, token string, in any, out any) (status int, err error) {
	for {
		status, err = r.send(method, path, token, in, out)
		if err != nil || status != http.StatusServiceUnavailable || r.t.Context().Err() != nil {
			return status, err
		}
	}
}

func (r *replica) send(method, path, token string, in any, out any) (int, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.api+path, strings.NewReader(string(body)))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && out != nil && resp.StatusCode < 300 {
		err = json.Unmarshal(answer, out)
	}
	return resp.StatusCode, err
}

// must sends an anonymous request that must succeed.
func (r *replica) must(method, path string, in any, out any) {
	r.t.Helper()
	status, err := r.call(method, path, "", in, out)
	r.check(err)
	if status >= 300 {
		r.check(fmt.Errorf("%s %s: the status is %d", method, path, status))
	}
}

// replicaEnvironment returns a valid environment with a migrated database and without rate limits.
func replicaEnvironment(t testing.TB) map[string]string {
	t.Helper()
	env := environment(t)
	env["DATABASE_URL"] = postgrestest.URL(t)
	env["RATE_LIMIT_PER_MINUTE"], env["ACCOUNT_RATE_LIMIT_PER_MINUTE"] = "0", "0"
	return env
}
