package bench_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"user-service/pkg/postgres/postgrestest"
)

var (
	hashThreads = flag.String("threads", "2,4,8", "the values of GOMAXPROCS with which the places of hashing are compared")
	hashRounds  = flag.Int("rounds", 3, "how often each place of hashing is measured, in turns")
	hashTime    = flag.Duration("hashtime", 5*time.Second, "how long reads are measured alone, and again in a storm of logins")
)

// place is a variant of the program. The variants differ in where they compute hashes.
type place struct {
	name   string
	edits  []edit // changes of the program's source; nil: none
	spared int    // threads without a slot for a hash
	extra  int    // added to GOMAXPROCS for each slot
}

// places are the variants that decision record 0008 compares. In all variants except the first, the second process is idle.
var places = []place{
	{name: "second process"},
	{name: "one process", edits: []edit{hashHere}},
	{name: "one process, CPUs - 1 slots", edits: []edit{hashHere}, spared: 1},
	{name: "threads of lower priority", edits: append([]edit{hashHere}, hashBehind...)},
	{name: "threads of lower priority, more of Go's", edits: append([]edit{hashHere}, hashBehind...), extra: 1},
}

// edit replaces text in a source file. The text must exist.
type edit struct{ file, before, after string }

var hashHere = edit{"cmd/user-service/service.go", "hashConfig.Process = hashing", "_ = hashing"}

// hashBehind computes each hash in a new thread with the priority of the second process. The thread ends with the hash.
var hashBehind = []edit{
	{"pkg/password/work.go", "package password\n", "package password\n\nimport (\n\t\"runtime\"\n\n\t\"golang.org/x/sys/unix\"\n)\n\n" +
		"func behind() {\n\truntime.LockOSThread()\n\town, _ := unix.Getpriority(unix.PRIO_PROCESS, 0)\n" +
		"\t_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 20-own+niceness)\n}\n"},
	{"pkg/password/work.go", "([]byte, error) {\n\tdefer", "([]byte, error) {\n\tbehind()\n\tdefer"},
	{"pkg/password/work.go", "(bool, error) {\n\thash, err", "(bool, error) {\n\tbehind()\n\thash, err"},
}

// BenchmarkWhereHashesAreComputed measures reads, first alone and then while clients log in continuously. For each number of threads, it
// alternates between the places. If there are more threads than CPUs, the threads share the CPUs.
func BenchmarkWhereHashesAreComputed(b *testing.B) {
	dsn := postgrestest.URL(b)
	token := fill(b, postgrestest.Connect(b, dsn, nil))
	for field := range strings.SplitSeq(*hashThreads, ",") {
		threads, err := strconv.Atoi(field)
		if err != nil || threads < 2 {
			b.Fatalf("-threads contains %q, want numbers of at least 2", field)
		}
		measured := make(map[string][]hashResult)
		for range *hashRounds {
			for _, p := range places {
				b.Run(fmt.Sprintf("%d/%s", threads, p.name), func(b *testing.B) {
					for b.Loop() {
						measured[p.name] = append(measured[p.name], measurePlace(b, p, threads, dsn, token))
					}
				})
			}
		}
		fmt.Fprint(os.Stdout, hashTable(threads, measured)) // go test does not print the log of a benchmark with sub-benchmarks
	}
}

// hashResult is the result of one round of a place.
type hashResult struct {
	quiet, storm times
	logins       float64       // a second, with status 200 or 401
	cpu          time.Duration // CPU time of both processes for each login
	mib          float64
}

func measurePlace(b *testing.B, p place, threads int, dsn, token string) hashResult {
	b.Helper()
	program, err := buildEdited(p)
	if err != nil {
		b.Fatal(err)
	}
	slots := threads - p.spared
	s := &storm{startProgram(b, program, dsn, nil, "RATE_LIMIT_PER_MINUTE=0", "LOGIN_MAX_FAILURES=0",
		fmt.Sprint("GOMAXPROCS=", threads+p.extra*slots), fmt.Sprint("PASSWORD_HASH_CONCURRENCY=", slots),
		fmt.Sprint("PASSWORD_HASH_QUEUE=", stormLogins)), newClient(2 * stormLogins), token}
	_ = s.timed(time.Second) // opens the connections
	var r hashResult
	before := s.cpu(b)
	r.quiet = s.timed(*hashTime)
	reading := s.cpu(b) - before
	before = s.cpu(b)
	began := time.Now()
	answers := s.logins(b, func() { r.storm = s.timed(*hashTime) })
	took := time.Since(began)
	done := answers[http.StatusOK] + answers[http.StatusUnauthorized]
	r.logins = float64(done) / took.Seconds()
	r.cpu = (s.cpu(b) - before - reading) / time.Duration(max(done, 1))
	r.mib = s.servePeakMiB(b)
	if len(p.edits) == 0 {
		r.mib = s.peakMiB(b)
	}
	return r
}

// timed returns the times of successful reads.
func (s *storm) timed(during time.Duration) times {
	return openLoop(readRate, during, func(int) int {
		return s.call(s.client, request{method: http.MethodGet, path: "/users/me", token: s.token}).status
	}).times(http.StatusOK)
}

// cpu returns the CPU time that the program and its hashing process have used.
func (s *replica) cpu(b *testing.B) (used time.Duration) {
	b.Helper()
	const tick = time.Second / 100 // USER_HZ
	for _, pid := range append(childrenOf(s.cmd.Process.Pid), s.cmd.Process.Pid) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			b.Fatal(err)
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		for _, field := range fields[11:13] { // utime, stime: proc(5)
			n, err := strconv.Atoi(field)
			if err != nil {
				b.Fatal(err)
			}
			used += time.Duration(n) * tick
		}
	}
	return used
}

func childrenOf(pid int) (children []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is well-formed
	for _, list := range lists {
		content, _ := os.ReadFile(list) // a thread may have ended
		for field := range strings.FieldsSeq(string(content)) {
			if child, err := strconv.Atoi(field); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

var edited struct {
	mu       sync.Mutex
	programs map[string]string
}

// buildEdited builds the program of a place once, and returns its path.
func buildEdited(p place) (string, error) {
	if len(p.edits) == 0 {
		return buildProgram()
	}
	edited.mu.Lock()
	defer edited.mu.Unlock()
	key := fmt.Sprint(p.edits)
	if program := edited.programs[key]; program != "" {
		return program, nil
	}
	dir, err := os.MkdirTemp(buildDir, "edited-")
	if err != nil {
		return "", err
	}
	overlay, err := overlayOf(p.edits, dir)
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "user-service")
	build := exec.Command("go", "build", "-overlay", overlay, "-o", program, "user-service/cmd/user-service")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program of %q: %w\n%s", p.name, err, out)
	}
	if edited.programs == nil {
		edited.programs = make(map[string]string)
	}
	edited.programs[key] = program
	return program, nil
}

// overlayOf writes the edited files into a directory, and a file for go build -overlay.
func overlayOf(edits []edit, dir string) (string, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return "", err
	}
	contents := make(map[string]string)
	for _, e := range edits {
		path := filepath.Join(root, e.file)
		if contents[path] == "" {
			original, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			contents[path] = string(original)
		}
		if strings.Count(contents[path], e.before) != 1 {
			return "", fmt.Errorf("%s does not have %q once", e.file, e.before)
		}
		contents[path] = strings.Replace(contents[path], e.before, e.after, 1)
	}
	replace := make(map[string]string)
	for path, content := range contents {
		replace[path] = filepath.Join(dir, filepath.Base(path))
		err = errors.Join(err, os.WriteFile(replace[path], []byte(content), 0o600))
	}
	overlay := filepath.Join(dir, "overlay.json")
	raw, _ := json.Marshal(map[string]any{"Replace": replace}) // never fails: the test creates the map
	return overlay, errors.Join(err, os.WriteFile(overlay, raw, 0o600))
}

// hashTable returns a table of the medians of the rounds.
func hashTable(threads int, measured map[string][]hashResult) string {
	var table strings.Builder
	fmt.Fprintf(&table, "\nGOMAXPROCS %d, medians of %d rounds\n\n"+
		"| hashes | reads alone p50, p99 | in the storm p50, p99 | times | logins/s | CPU/login | MiB |\n"+
		"| --- | --- | --- | --- | --- | --- | --- |\n",
		threads, *hashRounds)
	for _, p := range places {
		of := func(value func(hashResult) float64) float64 {
			var values []float64
			for _, r := range measured[p.name] {
				values = append(values, value(r))
			}
			slices.Sort(values)
			return values[len(values)/2]
		}
		at := func(quantile float64, which func(hashResult) times) float64 {
			return of(func(r hashResult) float64 { return milliseconds(which(r).at(quantile)) })
		}
		ratio := func(quantile float64) float64 {
			return of(func(r hashResult) float64 { return float64(r.storm.at(quantile)) / float64(r.quiet.at(quantile)) })
		}
		quiet, storm := func(r hashResult) times { return r.quiet }, func(r hashResult) times { return r.storm }
		fmt.Fprintf(&table, "| %s | %.1f, %.1f ms | %.1f, %.1f ms | %.1f, %.1f | %.1f | %.0f ms | %.0f |\n", p.name,
			at(0.5, quiet), at(0.99, quiet), at(0.5, storm), at(0.99, storm), ratio(0.5), ratio(0.99),
			of(func(r hashResult) float64 { return r.logins }), of(func(r hashResult) float64 { return milliseconds(r.cpu) }),
			of(func(r hashResult) float64 { return r.mib }))
	}
	return table.String()
}
