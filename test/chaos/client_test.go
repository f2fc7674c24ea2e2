package chaos_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// hangTime is when a client gives up on an answer that should have come long ago.
const hangTime = 5 * time.Second

// answer is what came of a request: a status, or an error if there was no answer.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error
	took   time.Duration
}

// settled says that the answer tells for sure what became of the request. After any other
// the change may have been committed all the same.
func (a answer) settled() bool { return a.err == nil && a.status < 500 }

func (a answer) String() string {
	if a.err != nil {
		return fmt.Sprintf("no answer after %s: %v", a.took.Round(time.Millisecond), a.err)
	}
	return fmt.Sprintf("%d after %s: %s", a.status, a.took.Round(time.Millisecond), bytes.TrimSpace(a.body))
}

// want returns an error unless the answer has the status.
func (a answer) want(status int) error {
	if a.err != nil || a.status != status {
		return fmt.Errorf("want %d, got %v", status, a)
	}
	return nil
}

// decode reads the body of an answer that must have the status.
func (a answer) decode(status int, into any) error {
	if err := a.want(status); err != nil {
		return err
	}
	return json.Unmarshal(a.body, into)
}

// request is one to the API.
type request struct {
	method, path string
	body         any
	ifMatch      string
}

// send sends the request to the replica at base.
func (r request) send(client *http.Client, base, token string) answer {
	began := time.Now()
	resp, err := r.roundTrip(client, base, token)
	if err != nil {
		return answer{err: err, took: time.Since(began)}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: body, err: err, took: time.Since(began)}
}

func (r request) roundTrip(client *http.Client, base, token string) (*http.Response, error) {
	raw, err := json.Marshal(r.body)
	if err != nil {
		return nil, err
	}
	if r.body == nil {
		raw = nil
	}
	req, err := http.NewRequest(r.method, base+r.path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	if raw != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if r.ifMatch != "" {
		req.Header.Set("If-Match", r.ifMatch)
	}
	return client.Do(req)
}

// What a test allows in answers that settle nothing; a client tries again after these.

// broken allows what a process leaves behind that dies: connections that end or are refused.
func broken(a answer) error {
	if a.err != nil && a.took < hangTime {
		return nil
	}
	return unavailable(a)
}

// unavailable allows the answer that is promised while the database is away, or so busy
// that it does not answer in time.
func unavailable(a answer) error {
	const inTime = 2*time.Second + time.Second // one is for machines as busy as those of tests
	problem := a.err == nil && strings.HasPrefix(a.header.Get("Content-Type"), "application/problem+json")
	if problem && a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "" && a.took < inTime {
		return nil
	}
	return fmt.Errorf("a request failed: %v", a)
}
