//go:build soak

package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"user-service/internal/testkit"
	"user-service/test/chaos/steady"
)

// measureEvery is the interval between measurements.
const measureEvery = 3 * time.Second

// The figures. The slack of memory allows for garbage that is not collected yet. The slack of the account rows is the number of people: ten
// clients with three people each.
var (
	rate        = steady.Figure{Name: "requests a second", Free: true}
	refusals    = steady.Figure{Name: "503 a second", Free: true}
	memory      = steady.Figure{Name: "memory of serve (PSS, MiB)", Slack: 5}
	hashMemory  = steady.Figure{Name: "memory of the hashing process (PSS, MiB)", Slack: 5}
	heap        = steady.Figure{Name: "Go heap of serve (MiB)", Slack: 5}
	running     = steady.Figure{Name: "goroutines of serve", Slack: 5}
	descriptors = steady.Figure{Name: "descriptors of serve", Slack: 5}
	hashFiles   = steady.Figure{Name: "descriptors of the hashing process", Slack: 2}
	pool        = steady.Figure{Name: "connections of the pool", Slack: 2}
	toDatabase  = steady.Figure{Name: "connections to PostgreSQL", Slack: 2}
	toBroker    = steady.Figure{Name: "connections to RabbitMQ", Slack: 1}
	inBroker    = steady.Figure{Name: "RabbitMQ's own count", Slack: 1}
	waitingRows = steady.Figure{Name: "events in the outbox", Slack: 5}
	accountRows = steady.Figure{Name: "rows of accounts", Slack: 30}
	failureRows = steady.Figure{Name: "rows of failures", Free: true} // rows of erased emails are kept for a day
)

// tables are the tables that must not grow while the number of people stays the same.
var tables = []struct {
	figure steady.Figure
	table  string
}{
	{waitingRows, "outbox"},
	{accountRows, "users"},
	{accountRows, "sessions"},
	{accountRows, "one_time_tokens"},
	{accountRows, "login_networks"},
	{failureRows, "login_failures"},
	{failureRows, "password_failures"},
}

// add records a measurement.
func (s *soak) add(figure steady.Figure, of string, value float64) {
	s.figures.Lock()
	defer s.figures.Unlock()
	p := steady.Point{At: s.now(), Value: value}
	for _, one := range s.series {
		if one.Figure == figure && one.Of == of {
			one.Points = append(one.Points, p)
			return
		}
	}
	s.series = append(s.series, &steady.Series{Figure: figure, Of: of, Points: []steady.Point{p}})
}

// latest returns the newest measurements of the most important figures.
func (s *soak) latest() string {
	s.figures.Lock()
	defer s.figures.Unlock()
	var parts []string
	for _, figure := range []steady.Figure{rate, memory, heap, running, descriptors, toDatabase, toBroker} {
		var values []string
		for _, one := range s.series {
			if one.Figure == figure {
				values = append(values, fmt.Sprintf("%.0f", one.Points[len(one.Points)-1].Value))
			}
		}
		parts = append(parts, figure.Name+" "+strings.Join(values, "/"))
	}
	return strings.Join(parts, ", ")
}

// measure reads the figures until ctx ends. It skips figures that can't be read, such as the figures of an ended process.
func (s *soak) measure(ctx context.Context) {
	s.counted.at = s.now()
	for testkit.Pause(ctx, measureEvery) {
		s.measureRequests()
		if s.restarting.TryLock() {
			s.measureReplica(0)
			s.restarting.Unlock()
		}
		s.measureReplica(1)
		s.measureTables(ctx)
	}
}

func (s *soak) measureRequests() {
	s.mu.Lock()
	refused := 0
	for _, o := range s.ops[s.counted.ops:] {
		if o.Status == 503 {
			refused++
		}
	}
	all := len(s.ops)
	s.mu.Unlock()
	now := s.now()
	seconds := (now - s.counted.at).Seconds()
	s.add(rate, "", float64(all-s.counted.ops)/seconds)
	s.add(refusals, "", float64(refused)/seconds)
	s.counted.ops, s.counted.at = all, now
}

// measureReplica reads the figures of the two processes of a replica.
func (s *soak) measureReplica(i int) {
	replica, of := s.replicas[i], applicationName(i)
	if metrics, err := replica.readMetrics(); err == nil {
		s.add(running, of, metrics.sum("go_goroutines"))
		s.add(heap, of, metrics.sum("go_memstats_heap_alloc_bytes")/(1<<20))
		s.add(pool, of, metrics.sum("db_client_connection_count"))
		s.add(toDatabase, of, float64(s.toPostgres[i].Links()))
		s.add(toBroker, of, float64(s.toRabbit[i].Links()))
	}
	serve := replica.cmd.Process.Pid
	s.measureProcess(serve, of, memory, descriptors)
	if children := childrenOf(serve); len(children) == 1 {
		s.measureProcess(children[0], of, hashMemory, hashFiles)
	}
}

func (s *soak) measureProcess(pid int, of string, memory, open steady.Figure) {
	if mib, err := sharedMiB(pid); err == nil {
		s.add(memory, of, mib)
	}
	if entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); err == nil {
		s.add(open, of, float64(len(entries)))
	}
}

// metrics is the text of a replica's metrics endpoint.
type metrics []byte

func (s *service) readMetrics() (metrics, error) {
	resp, err := probes.Get(s.metrics + "/metrics")
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return io.ReadAll(resp.Body)
}

// sum adds up the values of a metric over its labels.
func (m metrics) sum(name string) (sum float64) {
	for _, found := range regexp.MustCompile(`(?m)^`+name+`(?:\{.*\})? (\S+)$`).FindAllSubmatch(m, -1) {
		value, _ := strconv.ParseFloat(string(found[1]), 64)
		sum += value
	}
	return sum
}

var pssLine = regexp.MustCompile(`(?m)^Pss:\s+(\d+) kB`)

// sharedMiB returns the proportional set size (PSS) of a process in MiB.
func sharedMiB(pid int) (float64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	found := pssLine.FindSubmatch(content)
	if found == nil {
		return 0, errors.New("the system does not report the memory of a process")
	}
	kib, err := strconv.ParseFloat(string(found[1]), 64)
	return kib / 1024, err
}

// childrenOf returns the child processes of a process.
func childrenOf(pid int) (children []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is well-formed
	for _, list := range lists {
		content, _ := os.ReadFile(list) // a thread may have ended
		for _, field := range strings.Fields(string(content)) {
			if child, err := strconv.Atoi(field); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// measureTables counts the rows of tables.
func (s *soak) measureTables(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = s.admin(ctx, func(conn *pgx.Conn) error { // none while the database has a fault
		for _, t := range tables {
			var rows float64
			if err := conn.QueryRow(ctx, `SELECT count(*)::float8 FROM `+t.table).Scan(&rows); err != nil {
				return err
			}
			s.add(t.figure, t.table, rows)
		}
		return nil
	})
}

// measureBroker reads the broker's connections and their channels. It runs once a minute, because the command is slow.
func (s *soak) measureBroker(ctx context.Context) {
	out, err := s.broker.node(0).control(ctx, "rabbitmqctl", "list_connections", "-q", "--no-table-headers", "channels")
	if err != nil {
		s.t.Errorf("list the connections of RabbitMQ: %v", err)
		return
	}
	channels := 0
	lines := strings.Fields(out)
	for _, line := range lines {
		n, _ := strconv.Atoi(line)
		channels += n
	}
	s.add(inBroker, "connections", float64(len(lines)))
	s.add(inBroker, "channels", float64(channels))
}
