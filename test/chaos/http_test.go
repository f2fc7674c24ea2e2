package chaos_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"user-service/test/chaos/history"
)

// hangTime is the timeout of a client, longer than the longest allowed response.
const hangTime = 5 * time.Second

// call is a request to the API.
type call struct {
	method, path string
	body         any
	token        string
	ifMatch      int           // the version; 0: none
	hangUp       time.Duration // the time until the client disconnects; 0: never
}

// send sends a request as an operation and records the result. The returned body is nil unless the operation succeeded.
func (c *client) send(o history.Op, r call) (history.Op, []byte) {
	o.ID, o.Client, o.Replica, o.Start = c.r.nextOp(), c.number, c.replica(), c.r.now()
	ctx, cancel := context.WithTimeout(context.Background(), hangTime)
	defer cancel()
	if r.hangUp > 0 {
		timer := time.AfterFunc(r.hangUp, cancel)
		defer timer.Stop()
	}
	status, header, body, err := c.roundTrip(ctx, o, r)
	o.End = c.r.now()
	switch {
	case err != nil:
		o.Problem, o.HungUp = err.Error(), r.hangUp > 0 && o.End-o.Start >= r.hangUp
	case status >= 500:
		o.Status, o.Problem, o.RetryAfter = status, string(body), header.Get("Retry-After") != ""
	case status >= 300:
		o.Status, o.Problem, o.Outcome = status, string(body), history.Refused
	default:
		o.Status, o.Outcome = status, history.Accepted
		o = readResponse(o, body)
	}
	c.r.note(o)
	if o.Outcome != history.Accepted {
		body = nil
	}
	return o, body
}

func (c *client) roundTrip(ctx context.Context, o history.Op, r call) (status int, header http.Header, body []byte, err error) {
	var raw []byte
	if r.body != nil {
		raw, _ = json.Marshal(r.body) // never fails: the test creates the body
	}
	req, err := http.NewRequestWithContext(ctx, r.method, c.r.replicas[o.Replica].url+r.path, bytes.NewReader(raw))
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("X-Request-Id", requestID(o.ID))
	req.Header.Set("Traceparent", traceparent(o.ID))
	if raw != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if r.ifMatch > 0 {
		req.Header.Set("If-Match", strconv.Quote(strconv.Itoa(r.ifMatch)))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, body, err
}

// readResponse copies the content of a response into the operation.
func readResponse(o history.Op, body []byte) history.Op {
	var shown struct {
		history.User
		tokens
	}
	if len(body) == 0 {
		return o
	}
	if err := json.Unmarshal(body, &shown); err != nil {
		o.Problem = err.Error()
		return o
	}
	if shown.ID != "" && shown.Version > 0 {
		o.Told, o.User = &shown.User, shown.ID
	}
	if shown.Refresh != "" {
		o.Session, o.Got = refreshToken(shown.Refresh)
		o.GotToken = shown.Refresh
	}
	return o
}

// tokens are the tokens of a login or a refresh.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// refreshToken returns the session and the counter in a refresh token.
func refreshToken(encoded string) (session string, counter uint64) {
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || len(raw) < 24 {
		return "", 0
	}
	return uuid.UUID(raw[:16]).String(), binary.BigEndian.Uint64(raw[16:24])
}

// requestID returns the request id that identifies an operation in the audit trail. The traceparent identifies the operation in events.
func requestID(op int) string { return "op-" + strconv.Itoa(op) }

func traceparent(op int) string { return fmt.Sprintf("00-%016x%016x-00000000000000aa-01", traces, op) }

// traces is the prefix of the trace ids of these tests.
const traces = 0xc4a05

// opOf returns the operation in a trace context, or 0 if the test did not create it.
func opOf(traceparent string) int {
	prefix := fmt.Sprintf("00-%016x", traces)
	if !strings.HasPrefix(traceparent, prefix) || len(traceparent) < len(prefix)+16 {
		return 0
	}
	op, _ := strconv.ParseInt(traceparent[len(prefix):len(prefix)+16], 16, 64)
	return int(op)
}

// opOfRequest returns the operation in a request id, or 0 if the test did not create it.
func opOfRequest(id string) int {
	op, _ := strconv.Atoi(strings.TrimPrefix(id, "op-"))
	return op
}

// nextOp returns the number of a new operation.
func (r *rig) nextOp() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastOp++
	return r.lastOp
}

// note records an operation.
func (r *rig) note(o history.Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, o)
}
