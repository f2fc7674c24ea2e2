package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// app is a service behind the gateway. It returns the request that it received.
type app struct {
	addr     string
	requests atomic.Int64
}

// arrival is the app's description of a request.
type arrival struct {
	Request  string            // method, target and body
	Identity map[string]string // headers like X-User-Id, in any spelling
}

func startApp(t *testing.T) *app {
	t.Helper()
	a := &app{}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.addr = server.Listener.Addr().String()
	return a
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.requests.Add(1)
	body, _ := io.ReadAll(r.Body)
	got := arrival{Request: r.Method + " " + r.RequestURI + " " + string(body), Identity: map[string]string{}}
	for name, values := range r.Header {
		if strings.HasPrefix(strings.ReplaceAll(strings.ToLower(name), "_", "-"), "x-user") {
			got.Identity[name] = strings.Join(values, "|")
		}
	}
	_ = json.NewEncoder(w).Encode(got)
}
