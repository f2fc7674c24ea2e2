package observability_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"user-service/internal/testkit"
)

// TestDashboardsMatchTheSchemaOfGrafana compiles the dashboards as constants of the types of @grafana/schema. So a property that Grafana
// does not know, or a value that it does not allow, is an error of the compiler.
func TestDashboardsMatchTheSchemaOfGrafana(t *testing.T) {
	t.Parallel()
	node, npm := testkit.Installed(t, "node", "node"), testkit.Installed(t, "npm", "node")
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "tsconfig.json", "types.ts"} {
		content, err := os.ReadFile(filepath.Join("test/observability/schema", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	var program constants
	for name, text := range dashboardFiles(t) {
		program.dashboard(t, name, text)
	}
	if program.panels < 80 {
		t.Errorf("only %d panels are compiled", program.panels)
	}
	program.mistakes(t)
	if err := os.WriteFile(filepath.Join(dir, "dashboards.ts"), []byte(program.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run(node, "node_modules/typescript/bin/tsc"); err != nil {
		t.Errorf("the dashboards do not match the schema of Grafana:\n%s", out)
	}
}

// mistakes adds wrong copies of constants. The compiler fails if it finds no mistake in one of them.
func (c *constants) mistakes(t *testing.T) {
	t.Helper()
	lines := strings.Split(c.String(), "\n")
	for right, wrong := range map[string]string{
		`"schemaVersion":`: `"schemaversion":`, `"refresh":"30s"`: `"refresh":30`, `"type":"special"`: `"type":"specials"`,
		`"mode":"multi"`: `"mode":"many"`, `"spanNulls":`: `"spanNull":`, `"textMode":"value"`: `"textMode":"values"`,
	} {
		i := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, right) })
		if i < 0 {
			t.Errorf("no dashboard contains %s", right)
			continue
		}
		_, constant, _ := strings.Cut(lines[i], ":")
		fmt.Fprintf(c, "// @ts-expect-error: %s\nexport const c%d:%s\n", wrong, c.Len(), strings.Replace(constant, right, wrong, 1))
	}
}

// constants is a TypeScript program with a constant for each part of a dashboard. TypeScript reports unknown properties only in literals
// whose type is not a union.
type constants struct {
	strings.Builder

	panels int
}

func (c *constants) constant(typ string, value any) {
	if c.Len() == 0 {
		c.WriteString("import type { Custom, Dashboard, Options, Panel, Row } from './types.js';\n")
	}
	text, _ := json.Marshal(value)
	fmt.Fprintf(c, "export const c%d: %s = %s;\n", c.Len(), typ, text)
}

func (c *constants) dashboard(t *testing.T, name, text string) {
	t.Helper()
	var d map[string]any
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	panels, _ := d["panels"].([]any)
	delete(d, "panels")
	c.constant("Dashboard", d)
	for _, p := range panels {
		p, _ := p.(map[string]any)
		if p["type"] != "row" {
			c.panel(p)
			continue
		}
		inside, _ := p["panels"].([]any)
		p["panels"] = []any{}
		c.constant("Row", p)
		for _, p := range inside {
			p, _ := p.(map[string]any)
			c.panel(p)
		}
	}
}

func (c *constants) panel(p map[string]any) {
	c.panels++
	config, _ := p["fieldConfig"].(map[string]any)
	defaults, _ := config["defaults"].(map[string]any)
	if custom, ok := defaults["custom"]; ok {
		c.constant(fmt.Sprintf("Custom[%q]", p["type"]), custom)
	}
	c.constant(fmt.Sprintf("Options[%q]", p["type"]), p["options"])
	delete(p, "options")
	delete(defaults, "custom")
	c.constant("Panel", p)
}
