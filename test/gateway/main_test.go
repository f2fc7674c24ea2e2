// Package gateway_test runs gateways in front of a service, and lets them authenticate requests with the program. It opens the
// sample shop behind them in a browser, and verifies tokens in another language.
package gateway_test

import (
	"net"
	"os"
	"testing"

	"user-service/internal/testkit"
)

// program is the path of the user-service that was built for these tests.
var program string

func TestMain(m *testing.M) {
	code := testkit.Main(m, &program)
	chromium.stop()
	os.Exit(code)
}

func accepts(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}
