package bench_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	stormLogins   = 64  // at once
	stormAccounts = 256 // that log in
	readsEach     = 5 * time.Millisecond
	stormTime     = 10 * time.Second
	hashMiB       = 19.0 // of one argon2id hash by the defaults
)

// BenchmarkReadsInAStormOfLogins measures reads at a steady pace, first alone, then beside clients
// that log in without a pause, every other one with a wrong password, against the program with its
// defaults. The contract promises reads that stay fast, memory that is bounded, and that whoever is
// refused is told when to come back.
func BenchmarkReadsInAStormOfLogins(b *testing.B) {
	s := startReplica(b)
	for b.Loop() {
		quiet := s.reads(b, stormTime)
		base := s.peakMiB(b)
		var storm times
		answers := s.storm(b, func() { storm = s.reads(b, stormTime) })

		bound := 1.2 * (base + hashMiB*hashesAtOnce())
		b.Logf("reads alone %s; in the storm %s; memory %.0f MiB, then %.0f of %.0f; logins %v",
			quiet, storm, base, s.peakMiB(b), bound, answers)
		b.ReportMetric(milliseconds(quiet.at(0.99)), "quiet-p99-ms")
		b.ReportMetric(milliseconds(storm.at(0.99)), "storm-p99-ms")
		b.ReportMetric(float64(storm.at(0.99))/float64(quiet.at(0.99)), "p99-ratio")
		b.ReportMetric(s.peakMiB(b), "peak-MiB")
	}
}

// hashesAtOnce is the PASSWORD_HASH_CONCURRENCY of the program, whose default is one for each CPU.
func hashesAtOnce() float64 {
	if n, err := strconv.Atoi(os.Getenv("PASSWORD_HASH_CONCURRENCY")); err == nil && n > 0 {
		return float64(n)
	}
	return float64(runtime.GOMAXPROCS(0))
}

// times are sorted.
type times []time.Duration

func (t times) at(quantile float64) time.Duration { return t[int(float64(len(t)-1)*quantile)] }

func (t times) String() string {
	return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms of %d", milliseconds(t.at(0.5)), milliseconds(t.at(0.99)), len(t))
}

// reads sends GET /users/me at a steady pace. The time of each counts from when it was due, so
// that a server that stops answering can't make it look as if nobody had asked.
func (s *replica) reads(b *testing.B, during time.Duration) times {
	b.Helper()
	n := int(during / readsEach)
	took, began := make(times, n), time.Now()
	var sent sync.WaitGroup
	for i := range n {
		due := began.Add(time.Duration(i) * readsEach)
		<-time.After(time.Until(due))
		sent.Go(func() {
			if status, _ := s.call(http.MethodGet, "/users/me", ""); status != http.StatusOK {
				b.Errorf("a read is answered with %d", status)
			}
			took[i] = time.Since(due)
		})
	}
	sent.Wait()
	slices.Sort(took)
	return took
}

// storm logs in from many clients at once until meanwhile returns. They come back at once
// whatever they are told, as attackers do. It returns how often each
// status was the answer.
func (s *replica) storm(b *testing.B, meanwhile func()) map[int]int {
	b.Helper()
	var (
		clients sync.WaitGroup
		over    atomic.Bool
		turn    atomic.Int64
		mu      sync.Mutex
	)
	answers := make(map[int]int)
	for range stormLogins {
		clients.Go(func() {
			mine := make(map[int]int)
			for !over.Load() {
				n := int(turn.Add(1))
				status, header := s.login(n%stormAccounts, n%2 == 0)
				mine[status]++
				if status >= 429 && header.Get("Retry-After") == "" {
					b.Errorf("a refusal with %d names no time to come back", status)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for status, n := range mine {
				answers[status] += n
			}
		})
	}
	meanwhile()
	over.Store(true)
	clients.Wait()
	for status := range maps.Keys(answers) {
		if !slices.Contains([]int{200, 401, 429, 503}, status) {
			b.Errorf("logins are answered with %d", status)
		}
	}
	return answers
}

func (s *replica) login(account int, right bool) (int, http.Header) {
	pw := stormPassword
	if !right {
		pw = "seven green kettles sink"
	}
	return s.call(http.MethodPost, "/login", fmt.Sprintf(`{"email": %q, "password": %q}`, stormEmail(account), pw))
}

// call returns status 0 if there was no answer.
func (s *replica) call(method, path, body string) (int, http.Header) {
	req, err := http.NewRequest(method, s.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, nil
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	} else {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, nil
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header
}

var peakLine = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakMiB returns the most memory that the program has had so far: its process and the one that hashes.
func (s *replica) peakMiB(b *testing.B) float64 {
	b.Helper()
	pid := strconv.Itoa(s.cmd.Process.Pid)
	sum := peakOf(b, pid)
	lists, err := filepath.Glob("/proc/" + pid + "/task/*/children")
	if err != nil || len(lists) == 0 {
		b.Fatalf("the system does not tell the children of a process: %v", err)
	}
	for _, list := range lists {
		children, _ := os.ReadFile(list) // a thread may have ended
		for child := range strings.FieldsSeq(string(children)) {
			sum += peakOf(b, child)
		}
	}
	return sum
}

func peakOf(b *testing.B, pid string) (mib float64) {
	b.Helper()
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		b.Fatal(err)
	}
	found := peakLine.FindStringSubmatch(string(status))
	if found == nil {
		b.Fatal("the system does not tell the memory of a process")
	}
	kib, err := strconv.ParseFloat(strings.TrimSpace(found[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}
