package main

import (
	"fmt"
	"net/http"
	"time"
)

// scenario is one kind of load.
type scenario struct {
	name        string
	connections int
	request     func(p *program) func(n int64) []byte // nil: the storm
	goal        float64                               // the least ratio of the throughput that issue and documentation ask for
}

const (
	stormLogins = 64  // concurrent logins
	pacedReads  = 200 // a second
)

// scenarios returns all kinds of load.
func scenarios() []scenario {
	return []scenario{
		{"me", 1, me, 0.9},
		{"me", 16, me, 0.9},
		{"me", 64, me, 0.9},
		{"by id", 1, byID, 0.9},
		{"by id", 16, byID, 0.9},
		{"by id", 64, byID, 0.9},
		{"login", 2, login, 0.9},
		{"login", 16, login, 0.97},
		{"login", 64, login, 0.97},
		{"register", 16, register, 0.95},
		{"storm", stormLogins, nil, 0.95},
	}
}

func (s scenario) String() string { return fmt.Sprintf("%s, %d", s.name, s.connections) }

// me reads the caller's own user as GET /users/me.
func me(p *program) func(int64) []byte {
	return reads(p, func(int) string { return "/users/me" })
}

// byID reads the caller's own user as GET /users/{id}.
func byID(p *program) func(int64) []byte {
	return reads(p, func(n int) string { return "/users/" + p.ids[n] })
}

func reads(p *program, path func(n int) string) func(int64) []byte {
	all := make([][]byte, accounts)
	for n := range all {
		all[n] = requestBytes(http.MethodGet, path(n), p.tokens[n], "")
	}
	return func(n int64) []byte { return all[n%accounts] }
}

func login(p *program) func(int64) []byte {
	all := make([][]byte, accounts)
	for n := range all {
		all[n] = requestBytes(http.MethodPost, "/login", "", p.credentials(n))
	}
	return func(n int64) []byte { return all[n%accounts] }
}

// register creates an account with each request.
func register(p *program) func(int64) []byte {
	first := time.Now().UnixNano()
	return func(n int64) []byte {
		body := fmt.Sprintf(`{"email": "new-%d-%d@example.com", "password": %q}`, first, n, password)
		return requestBytes(http.MethodPost, "/register", "", body)
	}
}

// result are the figures of one program in one round.
type result struct {
	rate        float64 // requests a second
	p50, p99    float64 // milliseconds
	cpu         float64 // of the program, milliseconds for each request
	postgresCPU float64 // milliseconds for each request
	mib         float64 // the memory afterwards
	refused     int
	problems    map[string]int

	quietP50, quietP99 float64 // only storm: the reads without logins; p50 and p99 are the reads with logins
}

// measure runs a scenario once against one program.
func (b *bench) measure(p *program, s scenario, during time.Duration) (result, error) {
	if s.request == nil {
		return b.storm(p, during)
	}
	warm := load{p.addr, s.connections, during / 8, s.request(p)}
	if _, err := warm.closed(); err != nil {
		return result{}, err
	}
	return b.timed(p, func() (*sample, error) {
		return load{p.addr, s.connections, during, s.request(p)}.closed()
	})
}

// timed runs a load and measures the CPU time that it costs.
func (b *bench) timed(p *program, run func() (*sample, error)) (r result, err error) {
	cpu, err := cpuOf(p.cmd.Process.Pid)
	if err != nil {
		return r, err
	}
	postgres, err := cpuOf(b.postgres)
	if err != nil {
		return r, err
	}
	sample, err := run()
	if err != nil {
		return r, err
	}
	cpuAfter, err := cpuOf(p.cmd.Process.Pid)
	if err != nil {
		return r, err
	}
	postgresAfter, err := cpuOf(b.postgres)
	if err != nil {
		return r, err
	}
	requests := float64(max(len(sample.times), 1))
	r = result{
		rate: sample.rate(), p50: sample.at(0.5), p99: sample.at(0.99), refused: sample.refused, problems: sample.problems,
		cpu: milliseconds(cpuAfter-cpu) / requests, postgresCPU: milliseconds(postgresAfter-postgres) / requests,
	}
	r.mib, err = memoryOf(p.cmd.Process.Pid)
	return r, err
}

// storm measures paced reads, first alone, then while clients log in continuously. The rate is that of the logins.
func (b *bench) storm(p *program, during time.Duration) (result, error) {
	paced := load{p.addr, 16, during, me(p)}
	quiet, err := paced.open(pacedReads)
	if err != nil {
		return result{}, err
	}
	var busy *sample
	var readErr error
	r, err := b.timed(p, func() (*sample, error) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			busy, readErr = paced.open(pacedReads)
		}()
		logins, err := load{p.addr, stormLogins, during, login(p)}.closed()
		<-done
		return logins, err
	})
	if err == nil {
		err = readErr
	}
	if err != nil {
		return r, err
	}
	r.quietP50, r.quietP99, r.p50, r.p99 = quiet.at(0.5), quiet.at(0.99), busy.at(0.5), busy.at(0.99)
	for problem, n := range busy.problems {
		r.problems[problem] += n
	}
	return r, nil
}
