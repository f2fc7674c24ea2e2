// The program dashboards writes the Grafana dashboards of the chart. The JSON of Grafana is long, repetitive and
// hard to review. In this source, a panel has only a title, a description, a unit and queries.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: dashboards DIRECTORY")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "dashboards:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	for name, content := range files() {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil { //nolint:gosec // for everybody to read
			return fmt.Errorf("write a dashboard: %w", err)
		}
	}
	return nil
}

// files returns the dashboards by file name.
func files() map[string][]byte {
	out := map[string][]byte{}
	for _, d := range []dashboard{service(), slo(), rollout()} {
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(d.json()); err != nil {
			panic(err) // the content has only JSON types
		}
		out[d.name+".json"] = text.Bytes()
	}
	return out
}
