package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// answerTime is the maximum time of a request. The service responds within 2 s.
const answerTime = 5 * time.Second

// client sends requests on one connection, one after the other. It does little besides sending, because it shares the CPUs with the
// program that it measures.
type client struct {
	conn   net.Conn
	reader *bufio.Reader
}

func dial(addr string) (*client, error) {
	conn, err := net.DialTimeout("tcp", addr, answerTime) //nolint:noctx // a local address
	if err != nil {
		return nil, err
	}
	return &client{conn, bufio.NewReader(conn)}, nil
}

// answer is a response.
type answer struct {
	status     int
	retryAfter string
	body       []byte
}

// do sends the bytes of a request, and returns the response.
func (c *client) do(raw []byte) (answer, error) {
	_ = c.conn.SetDeadline(time.Now().Add(answerTime))
	if _, err := c.conn.Write(raw); err != nil {
		return answer{}, err
	}
	resp, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header.Get("Retry-After"), body}, errors.Join(err, resp.Body.Close())
}

// requestBytes returns a request as it is sent.
func requestBytes(method, path, token, body string) []byte {
	head := method + " " + path + " HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\n"
	if token != "" {
		head += "Authorization: Bearer " + token + "\r\n"
	}
	if body != "" {
		head += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	return []byte(head + "\r\n" + body)
}

// load sends requests. next returns the request with a number, and is called concurrently.
type load struct {
	addr        string
	connections int
	during      time.Duration
	next        func(n int64) []byte
}

// sample has the times of the answers with a status below 400, sorted, and what went wrong.
type sample struct {
	times    []time.Duration
	took     time.Duration
	refused  int // 429 and 503 with Retry-After
	problems map[string]int
}

func (s *sample) at(quantile float64) float64 {
	if len(s.times) == 0 {
		return milliseconds(answerTime)
	}
	return milliseconds(s.times[int(float64(len(s.times)-1)*quantile)])
}

func (s *sample) rate() float64 { return float64(len(s.times)) / s.took.Seconds() }

func (s *sample) add(a answer, err error, took time.Duration) {
	switch {
	case err != nil:
		s.problems["no answer"]++
	case a.status < http.StatusBadRequest:
		s.times = append(s.times, took)
	case a.retryAfter != "":
		s.refused++
	default:
		s.problems[http.StatusText(a.status)]++
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// closed sends the next request on each connection as soon as the previous one is answered.
func (l load) closed() (*sample, error) {
	var n atomic.Int64
	end := time.Now().Add(l.during)
	return l.run(func() (time.Time, []byte, bool) {
		now := time.Now()
		return now, l.next(n.Add(1)), now.Before(end)
	})
}

// open sends requests at a rate, in requests a second, independent of the answers. The time of a request begins when it was due, even if
// all connections were busy then. So a delayed request does not seem fast.
func (l load) open(rate float64) (*sample, error) {
	var n atomic.Int64
	began := time.Now()
	return l.run(func() (time.Time, []byte, bool) {
		number := n.Add(1)
		due := began.Add(time.Duration(float64(number) / rate * float64(time.Second)))
		pauseUntil(due)
		return due, l.next(number), due.Sub(began) <= l.during
	})
}

func pauseUntil(due time.Time) {
	timer := time.NewTimer(time.Until(due))
	<-timer.C
}

// run calls take on each connection for the next request, and sends it, until take returns false.
func (l load) run(take func() (due time.Time, raw []byte, more bool)) (*sample, error) {
	clients := make([]*client, l.connections)
	for i := range clients {
		c, err := dial(l.addr)
		if err != nil {
			return nil, err
		}
		defer func() { _ = c.conn.Close() }()
		clients[i] = c
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	total := &sample{problems: make(map[string]int)}
	began := time.Now()
	for _, c := range clients {
		all.Go(func() {
			own := &sample{problems: make(map[string]int)}
			for due, raw, more := take(); more; due, raw, more = take() {
				a, err := c.do(raw)
				own.add(a, err, time.Since(due))
				if err != nil {
					break
				}
			}
			mu.Lock()
			defer mu.Unlock()
			total.merge(own)
		})
	}
	all.Wait()
	total.took = time.Since(began)
	slices.Sort(total.times)
	return total, nil
}

func (s *sample) merge(other *sample) {
	s.times = append(s.times, other.times...)
	s.refused += other.refused
	for problem, n := range other.problems {
		s.problems[problem] += n
	}
}
