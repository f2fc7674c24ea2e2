package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"user-service/internal/testkit"
)

// Additional commands for the scripts.

const patience = 20 * time.Second // the longest time that a test or a command of a script waits

// exits runs a command that must exit with a status: exits STATUS COMMAND [ARGUMENT]...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) < 2, "exits STATUS COMMAND [ARGUMENT]...")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got, err := 0, ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exited with %d, want %d", got, want)
	}
}

// await waits until a file has a match of a pattern: await FILE PATTERN
func await(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "await FILE PATTERN")
	awaitMatch(ts, args[0], regexp.MustCompile("(?m)"+args[1]))
}

func awaitMatch(ts *testscript.TestScript, file string, pattern *regexp.Regexp) []string {
	var content []byte
	if !testkit.Await(context.Background(), patience, func() bool {
		content, _ = os.ReadFile(ts.MkAbs(file))
		return pattern.Match(content)
	}) {
		ts.Fatalf("timed out waiting for %s in %s:\n%s", pattern, file, content)
	}
	return pattern.FindStringSubmatch(string(content))
}

// servingAt matches the log line of a listening service.
var servingAt = regexp.MustCompile(`"msg":"serving".*"api":"(.+?)","metrics":"(.+?)"`)

// serving waits for a service that logs to FILE, and sets API and METRICS to its URLs: serving FILE
func serving(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "serving FILE")
	found := awaitMatch(ts, args[0], servingAt)
	ts.Setenv("API", "http://"+found[1])
	ts.Setenv("METRICS", "http://"+found[2])
}

// request sends a request, and checks the status: http STATUS METHOD URL [FILE]
//
// FILE is a JSON body. The output of the command is the body of the response. A GET is retried for WITHIN, until the status matches and the
// body contains the variable CONTAINING. After a response with an access token, later requests send the token.
func request(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) < 3 || len(args) > 4, "http STATUS METHOD URL [FILE]")
	var body string
	if len(args) == 4 {
		body = os.Expand(ts.ReadFile(args[3]), ts.Getenv)
	}
	within := patience
	if limit := ts.Getenv("WITHIN"); limit != "" {
		var err error
		within, err = time.ParseDuration(limit)
		ts.Check(err)
	}
	var status int
	var answer []byte
	if !testkit.Await(context.Background(), within, func() bool {
		status, answer = send(ts, args[1], args[2], body)
		return strconv.Itoa(status) == args[0] && strings.Contains(string(answer), ts.Getenv("CONTAINING")) || args[1] != http.MethodGet
	}) || strconv.Itoa(status) != args[0] {
		ts.Fatalf("the status is %d, want %s: %s", status, args[0], answer)
	}
	var login struct {
		Token string `json:"access_token"`
	}
	if json.Unmarshal(answer, &login) == nil && login.Token != "" {
		ts.Setenv("TOKEN", login.Token)
	}
	_, _ = ts.Stdout().Write(answer)
}

func send(ts *testscript.TestScript, method, url, body string) (status int, answer []byte) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	if token := ts.Getenv("TOKEN"); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(resp.Body)
	ts.Check(err)
	return resp.StatusCode, answer
}

// terminate sends SIGTERM to all commands in the background.
func terminate(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) > 0, "terminate")
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	}
}

// occupy listens on a port, and sets a variable to its address: occupy NAME
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "occupy NAME")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// jsonLines checks that each line of a log is a JSON object with time, level and msg: jsonlines FILE
func jsonLines(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "jsonlines FILE")
	lines := 0
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var record struct {
			Time       time.Time
			Level, Msg string
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.Time.IsZero() || record.Level == "" || record.Msg == "" {
			ts.Fatalf("not a line of a log: %s", line)
		}
		lines++
	}
	if lines == 0 {
		ts.Fatalf("%s is empty", args[0])
	}
}

// hides checks that no secret is in the files: hides FILE...
func hides(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) == 0, "hides FILE...")
	for _, name := range []string{"JWT_SECRET", "PASSWORD", "EMAIL", "DATABASE_PASSWORD", "RABBITMQ_PASS", "TOKEN"} {
		secret := ts.Getenv(name)
		if secret == "" {
			ts.Fatalf("%s is not set", name)
		}
		for _, file := range args {
			for line := range bytes.Lines([]byte(ts.ReadFile(file))) {
				if bytes.Contains(line, []byte(secret)) {
					ts.Fatalf("%s contains %s: %s", file, name, line)
				}
			}
		}
	}
}

// execute implements the script command sql. Its arguments are statements, which it runs in the database.
func execute(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) == 0, "sql STATEMENT...")
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, ts.Getenv("DATABASE_URL"))
	ts.Check(err)
	defer func() { _ = conn.Close(ctx) }()
	for _, statement := range args {
		_, err := conn.Exec(ctx, statement)
		ts.Check(err)
	}
}

// withSetting implements the script command "with". Its argument NAME=VALUE is a setting of PostgreSQL, which it adds to DATABASE_URL.
func withSetting(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "with NAME=VALUE")
	u, err := url.Parse(ts.Getenv("DATABASE_URL"))
	ts.Check(err)
	query := u.Query()
	query.Set("options", "-c "+args[0])
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20") // libpq keeps a plus sign
	ts.Setenv("DATABASE_URL", u.String())
}

func usage(ts *testscript.TestScript, wrong bool, text string) {
	if wrong {
		ts.Fatalf("%s", fmt.Sprint("usage: ", text))
	}
}
