// Package pwned finds out whether a password occurs in known data breaches. It queries a range API in the form of Have I Been Pwned:
// https://haveibeenpwned.com/API/v3#PwnedPasswords
package pwned

import (
	"bufio"
	"context"
	"crypto/sha1" //nolint:gosec // the API is defined with SHA-1
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/text/unicode/norm"
)

const (
	// timeout is the time for one query. A request has 1.8 s, and hashes the password after the query.
	timeout = time.Second
	// maxConns bounds the concurrent queries. A query that gets no connection in time fails.
	maxConns = 32
	// maxResponse bounds the bytes that are read of a response. Have I Been Pwned answers with about 40 KB.
	maxResponse = 1 << 20

	prefixLength = 5 // hexadecimal digits of the hash that the API gets
)

// The results of a query.
const (
	Found    = "found"
	NotFound = "not_found"
	Failed   = "failed"
)

// Config configures a Client.
type Config struct {
	URL      string       // The URL of the range API; ends in /range/.
	Agent    string       // The User-Agent of the queries, which Have I Been Pwned requires.
	Log      *slog.Logger // Gets failures. nil: discarded.
	Observer Observer     // nil: none.
}

// Observer counts the queries.
type Observer interface {
	PwnedPasswordsQueried(result string) // Found, NotFound or Failed
}

// Client queries a range API. It is safe for concurrent use.
type Client struct {
	cfg     Config
	http    *http.Client
	failing atomic.Bool // the last query failed
}

// New returns a Client.
func New(cfg Config) *Client {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // its documented type
	transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost = maxConns, maxConns
	return &Client{cfg: cfg, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Contains reports whether the API knows the NFKC form of a password. The API gets only the first five digits of the password's hash
// (k-anonymity). It pads its response, so that the length does not reveal these digits to an observer of the network.
//
// If the API does not answer in time, or not as expected, Contains returns false and counts the failure.
func (c *Client) Contains(ctx context.Context, password string) bool {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	found, err := c.query(ctx, password)
	result := NotFound
	switch {
	case errors.Is(context.Cause(ctx), context.Canceled): // by the caller, whose next step fails
		return false
	case err != nil:
		result = Failed
	case found:
		result = Found
	}
	if c.cfg.Observer != nil {
		c.cfg.Observer.PwnedPasswordsQueried(result)
	}
	c.report(ctx, err)
	return found
}

// report logs the first failure, and the first success after it.
func (c *Client) report(ctx context.Context, err error) {
	if failed := c.failing.Swap(err != nil); failed == (err != nil) {
		return
	}
	if err != nil {
		c.cfg.Log.WarnContext(ctx, "PWNED_PASSWORDS_URL can't be queried; until it answers, breached passwords are accepted", "error", err)
		return
	}
	c.cfg.Log.InfoContext(ctx, "PWNED_PASSWORDS_URL answers again")
}

func (c *Client) query(ctx context.Context, password string) (found bool, err error) {
	sum := sha1.Sum([]byte(norm.NFKC.String(password))) //nolint:gosec // see the import
	digits := strings.ToUpper(hex.EncodeToString(sum[:]))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.cfg.URL+digits[:prefixLength], nil)
	if err != nil {
		return false, errors.New("the URL is not valid") // the error of net/http contains the digits
	}
	req.Header.Set("User-Agent", c.cfg.Agent)
	req.Header.Set("Add-Padding", "true")
	resp, err := c.http.Do(req)
	if err != nil {
		return false, withoutURL(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("the response has status %d", resp.StatusCode)
	}
	return contains(io.LimitReader(resp.Body, maxResponse), digits[prefixLength:])
}

// withoutURL returns the cause of an error of net/http. The error itself contains the URL, which ends in digits of the password's hash.
func withoutURL(err error) error {
	if cause := errors.Unwrap(err); cause != nil {
		return cause
	}
	return errors.New("the request failed")
}

// contains reports whether a response lists a suffix. A line with the count 0 is padding. contains reads the whole response, so that the
// connection can be used again. Errors: the response is not a list, for example because it is a page of a proxy.
func contains(response io.Reader, suffix string) (found bool, err error) {
	lines := 0
	scanner := bufio.NewScanner(response)
	for ; scanner.Scan(); lines++ {
		listed, count, ok := strings.Cut(scanner.Text(), ":")
		if !ok || len(listed) != len(suffix) {
			return false, errors.New("the response is not a list of hashes")
		}
		found = found || strings.EqualFold(listed, suffix) && strings.Trim(count, "0 ") != ""
	}
	if err = scanner.Err(); err != nil {
		return false, err
	}
	if lines == 0 {
		return false, errors.New("the response is empty")
	}
	return found, nil
}
