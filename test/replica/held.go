package replica

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"

	"user-service/internal/testkit"
)

// Held counts the resources of a process. Connections to the database are separate, because the pool keeps them open.
type Held struct{ Goroutines, Descriptors, Pool, Used int }

func (h Held) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d connections of the pool, %d of them in use", h.Goroutines, h.Descriptors, h.Pool,
		h.Used)
}

// slack is how many more resources an idle process may hold at times, for its jobs and its connection to the broker. Tests send more
// requests than slack, so that they find a leak even if each request leaks only one resource.
const slack = 10

// Leaks reports whether the process holds more than an idle one.
func (h Held) Leaks(idle Held) bool {
	return h.Goroutines > idle.Goroutines+slack || h.Descriptors-h.Pool > idle.Descriptors-idle.Pool+slack || h.Used > 0
}

var metricLine = regexp.MustCompile(`^(go_goroutines|process_open_fds|db_client_connection_count\{.*state="(idle|used)"\}) (\d+)`)

// Holds reads the resources of the process, and reports whether it responded.
func (r *Replica) Holds() (h Held, ok bool) {
	resp, err := probes.Get(r.metrics + "/metrics") //nolint:noctx // it has a timeout
	if err != nil {
		return h, false
	}
	defer func() { _ = resp.Body.Close() }()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		found := metricLine.FindStringSubmatch(lines.Text())
		if found == nil {
			continue
		}
		n, _ := strconv.Atoi(found[3])
		switch {
		case found[1] == "go_goroutines":
			h.Goroutines = n
		case found[1] == "process_open_fds":
			h.Descriptors = n
		case found[2] == "used":
			h.Used, h.Pool = n, h.Pool+n
		default:
			h.Pool += n
		}
	}
	return h, h.Goroutines > 0
}

// Idle returns the lowest numbers in 20 consecutive readings in which the process uses no database connection.
func (r *Replica) Idle(ctx context.Context) (idle Held) {
	quiet := 0
	testkit.Await(ctx, testkit.Timeout, func() bool {
		now, ok := r.Holds()
		switch {
		case !ok || now.Used > 0:
			quiet = 0
		case quiet == 0 || now.Goroutines <= idle.Goroutines && now.Descriptors <= idle.Descriptors:
			idle = now
			quiet++
		default:
			quiet++
		}
		return quiet >= 20
	})
	return idle
}

var peakLine = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// PeakMiB returns the peak memory of the serving process.
func (r *Replica) PeakMiB() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of the program: %w", err)
	}
	found := peakLine.FindSubmatch(status)
	if found == nil {
		return 0, fmt.Errorf("the system does not report the memory of process %d", r.process.Pid)
	}
	kib, err := strconv.ParseFloat(string(found[1]), 64)
	return kib / 1024, err
}
