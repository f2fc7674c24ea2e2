// Package fuzz_test sends random requests, generated from the OpenAPI description, to the program with real servers. It checks
// each response against the description.
package fuzz_test

import (
	"flag"
	"os"
	"testing"

	"user-service/internal/testkit"
)

// The defaults are for make test; make fuzz-http sends more requests.
var (
	seed     = flag.Uint64("seed", 1, "the seed of all requests")
	requests = flag.Int("requests", 3000, "how many requests are sent")
	program  = flag.String("program", "", "`path` of the user-service to test, in place of the one that is built")
	only     = flag.Int("number", -1, "send only the request with this `number`, and print its answer")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(testkit.Main(m, program))
}
