package fuzz_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// answerTime is the longest response time by the contract.
const answerTime = 2 * time.Second

// ofServer are the statuses with which net/http refuses invalid requests.
var ofServer = []int{
	http.StatusBadRequest, http.StatusExpectationFailed, http.StatusRequestHeaderFieldsTooLarge, http.StatusNotImplemented,
	http.StatusHTTPVersionNotSupported,
}

// judge returns the faults of a response.
func (g *generator) judge(a answered) (wrong []string) {
	switch {
	case a.err != nil && g.malformed: // the connection may be closed
		return nil
	case a.err != nil:
		return []string{"no response: " + a.err.Error()}
	case g.malformed && a.ResponseHeader.Get("X-Request-Id") == "" && slices.Contains(ofServer, a.Status):
		return nil
	case g.isPage(a): // the files of the page are not operations
		return nil
	}
	for _, b := range g.c.CheckAnswer(a.Exchange) {
		wrong = append(wrong, "answer: "+b.String())
	}
	if a.Status >= 500 && a.Status != http.StatusServiceUnavailable {
		wrong = append(wrong, "the service failed")
	}
	if retry, err := strconv.Atoi(a.ResponseHeader.Get("Retry-After")); a.Status == http.StatusServiceUnavailable && (err != nil ||
		retry < 1) {
		wrong = append(wrong, "503 without Retry-After")
	}
	wrong = append(wrong, g.judgeCaller(a)...)
	if a.Status < 300 {
		for _, b := range g.c.CheckRequest(a.Exchange) {
			wrong = append(wrong, "accepted, and not described: "+b.String())
		}
	}
	return wrong
}

// judgeCaller checks that operations with authentication succeed only with a valid token.
func (g *generator) judgeCaller(a answered) (wrong []string) {
	op, _ := g.c.Find(a.Method, a.Target)
	if op == nil || op.Anonymous || g.as.isValid() {
		return nil
	}
	allowed := []int{http.StatusUnauthorized, http.StatusServiceUnavailable}
	if g.as == disabled || g.as == ended { // a query detects these callers, after the request was counted in a quota
		allowed = append(allowed, http.StatusTooManyRequests)
	}
	if !slices.Contains(allowed, a.Status) {
		wrong = append(wrong, fmt.Sprintf("caller without a valid token (%d) gets %d", g.as, a.Status))
	}
	return wrong
}

func (g *generator) isPage(a answered) bool {
	statuses := []int{http.StatusOK, http.StatusNotFound, http.StatusNotModified, http.StatusMethodNotAllowed}
	return strings.HasPrefix(a.Target, "/docs/") && slices.Contains(statuses, a.Status)
}
