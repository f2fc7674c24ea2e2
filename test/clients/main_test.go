// Package clients_test generates clients from the descriptions of the API and of the events. It compiles a program with each client, and
// runs the program against the service.
package clients_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"user-service/internal/testkit"
	"user-service/pkg/postgres/postgrestest"
	"user-service/test/replica"
)

// program is the path of the user-service that was built for these tests.
var program string

func TestMain(m *testing.M) { os.Exit(testkit.Main(m, &program)) }

const (
	password = "seven green kettles sing"

	// printed is what each client prints.
	printed = `{"same":true,"name":null,"plan":"team","version":2,"roles":["user"],` +
		`"broken":[[["/password","mindestens 15 Zeichen"]],[["/zoneinfo","kein gültiger Wert"]]],"statuses":[403,204,200,204]}` + "\n"
)

// start runs the service until the test ends, and returns its URL.
func start(t *testing.T) string {
	t.Helper()
	return replica.Start(t, program, postgrestest.URL(t), nil).URL
}

// project is a copy of a folder of this package, in which a test generates and compiles code.
type project struct {
	t   *testing.T
	dir string
}

func newProject(t *testing.T, folder string) project {
	t.Helper()
	p := project{t: t, dir: t.TempDir()}
	if err := os.CopyFS(p.dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	return p
}

// write writes a file of the project.
func (p project) write(name string, content []byte) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), content, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// download writes the description of the API, as the service at url serves it, to openapi.json.
func (p project) download(url string) {
	p.t.Helper()
	resp, err := http.Get(url + "/openapi.json")
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	description, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write("openapi.json", description)
}

// run runs a command in the project, and returns its standard output.
func (p project) run(name string, args ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), name, args...)
	var errors testkit.Buffer
	cmd.Dir, cmd.Stderr = p.dir, &errors
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, &errors)
	}
	return string(out)
}
