// Package gateway_test runs gateways in front of a service, and checks that they authenticate requests with GET /verify. It opens the
// sample shop behind the gateways in a browser, and verifies tokens in JavaScript.
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
