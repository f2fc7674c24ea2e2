package httpapi_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"user-service/api"
)

// contract is api/openapi.yaml. The tests check every request and response against it.
var contract struct {
	router routers.Router
	doc    *openapi3.T
	mu     sync.Mutex
	seen   map[string]bool // ids of the operations that a test has called
}

func TestMain(m *testing.M) {
	flag.Parse()
	if err := loadContract(); err != nil {
		fmt.Fprintln(os.Stderr, "api/openapi.yaml:", err)
		os.Exit(1)
	}
	code := m.Run()
	if whole := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.skip").Value.String() == ""; code == 0 && whole {
		code = reportUncalled()
	}
	os.Exit(code)
}

func loadContract() error {
	doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPI())
	if err != nil {
		return err
	}
	if err := doc.Validate(context.Background()); err != nil {
		return err
	}
	contract.doc = doc
	contract.seen = map[string]bool{}
	contract.router, err = gorillamux.NewRouter(doc)
	return err
}

// reportUncalled reports each operation of api/openapi.yaml that no test has called, and returns the exit code.
func reportUncalled() (code int) {
	for path, item := range contract.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			if !contract.seen[operation.OperationID] {
				fmt.Fprintf(os.Stderr, "FAIL: no test calls %s %s (%s)\n", method, path, operation.OperationID)
				code = 1
			}
		}
	}
	return code
}
