package bench_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	bodyBytes = 64 << 10
	chartMiB  = 256 // the memory limit of the chart, which sets GOMEMLIMIT to 90 % of it
	bodyRate  = 7000.0
	bodyTime  = 20 * time.Second // longer than the service's deadline for a body
)

// BenchmarkFloodOfBodies opens connections. Each connection sends all but the last byte of a body, and then waits. With -floods.cgroup, a
// second run has the memory limit of the chart.
func BenchmarkFloodOfBodies(b *testing.B) {
	for _, f := range []struct {
		name        string
		connections int
		header      func(b *testing.B, s *site) func(n int) request
	}{
		{"2500/anonymous", 2500, anonymousChange},
		{"5000/anonymous", 5000, anonymousChange},
		{"5000/logged-in", 5000, changeOfOneAccount},
		{"5000/logins", 5000, loginsFromAnywhere},
	} {
		b.Run(f.name, func(b *testing.B) {
			s := newSite(b, nil)
			s.measure(b, s.bodies(b, f.connections, f.header(b, s)))
		})
		if *groupParent != "" && f.connections == 5000 {
			b.Run(f.name+"/limited", func(b *testing.B) {
				s := newSite(b, newMemoryGroup(b, *groupParent, chartMiB<<20), fmt.Sprintf("GOMEMLIMIT=%dMiB", chartMiB*9/10))
				s.measure(b, s.bodies(b, f.connections, f.header(b, s)))
			})
		}
	}
}

func anonymousChange(*testing.B, *site) func(int) request {
	return func(int) request { return change("", "") }
}

func changeOfOneAccount(b *testing.B, s *site) func(int) request {
	token := s.register(b, "attacker", 1)[0].token
	return func(int) request { return change(token, "") }
}

func loginsFromAnywhere(*testing.B, *site) func(int) request {
	return func(int) request { return request{method: http.MethodPost, path: "/login", address: nextNetwork()} }
}

// bodies returns a flood of n connections. Each connection sends a body without its last byte, and stays open until the server closes it or
// the flood ends.
func (s *site) bodies(b *testing.B, n int, header func(n int) request) flood {
	part := bytes.Repeat([]byte(" "), bodyBytes-1) // JSON may begin with blanks
	var connected atomic.Int64
	return flood{
		maxMiB: serveMiBAtMost,
		run: func(during time.Duration) answers {
			end := time.Now().Add(max(during, bodyTime))
			sent := openLoop(bodyRate, time.Duration(float64(n)/bodyRate*float64(time.Second)), func(i int) int {
				conn, err := net.DialTimeout("tcp", s.url[len("http://"):], answerTime)
				if err != nil {
					return 0
				}
				defer func() { _ = conn.Close() }()
				connected.Add(1)
				return hold(conn, header(i), part, end)
			})
			if connected.Load() < int64(n)*9/10 {
				b.Errorf("only %d of %d connections were accepted", connected.Load(), n)
			}
			return sent
		},
	}
}

// hold sends the header of a request and a part of its body, and waits for a response until end. It returns the status of the response, or
// 0 if there is none.
func hold(conn net.Conn, r request, part []byte, end time.Time) (status int) {
	_ = conn.SetDeadline(end)
	var header strings.Builder
	fmt.Fprintf(&header,
		"%s %s HTTP/1.1\r\nHost: service\r\nContent-Type: application/json\r\nContent-Length: %d\r\nX-Forwarded-For: %s\r\n",
		r.method, r.path, len(part)+1, r.address)
	if r.token != "" {
		fmt.Fprintf(&header, "Authorization: Bearer %s\r\n", r.token)
	}
	header.WriteString("\r\n")
	_, _ = conn.Write([]byte(header.String()))
	_, _ = conn.Write(part) // the server may have closed the connection after a refusal
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
