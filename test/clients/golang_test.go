package clients_test

import "testing"

// TestAGoClientIsGenerated generates a client with oapi-codegen, in the version of golang/go.mod.
func TestAGoClientIsGenerated(t *testing.T) {
	t.Parallel()
	url, p := start(t), newProject(t, "golang")
	p.download(url)
	p.run("go", "tool", "oapi-codegen", "-config", "oapi-codegen.yaml", "openapi.json")
	p.run("go", "vet", ".")
	if got := p.run("go", "run", ".", url, "go@example.com", password); got != printed {
		t.Errorf("the program prints %s, want %s", got, printed)
	}
}
