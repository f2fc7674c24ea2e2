package gateway_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestATypeScriptClientIsGeneratedFromTheDescription generates types from the served description with openapi-typescript. It compiles
// a program that uses them, and runs it.
func TestATypeScriptClientIsGeneratedFromTheDescription(t *testing.T) {
	t.Parallel()
	s, dir := startService(t), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("typescript")); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", args[0], err, out)
		}
		return string(out)
	}
	node := installed(t, "node", "node")
	run(installed(t, "npm", "node"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	run(node, "-e",
		`fetch(process.argv[1]).then((r) => r.text()).then((d) => require('fs').writeFileSync('openapi.json', d))`,
		"http://"+s.addr+"/openapi.json")
	run(node, "node_modules/openapi-typescript/bin/cli.js", "openapi.json", "-o", "api.ts")
	run(node, "node_modules/typescript/bin/tsc")

	var printed map[string]any
	out := run(node, "out/program.js", "http://"+s.addr, "typed@example.com", "seven green kettles sing")
	if err := json.Unmarshal([]byte(out), &printed); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := map[string]any{
		"same": true, "plan": "team", "roles": []any{"user"}, "broken": []any{[]any{"/zoneinfo", "invalid_value"}},
	}
	if diff := cmp.Diff(want, printed); diff != "" {
		t.Errorf("the output of the program (-want +got):\n%s", diff)
	}
}
