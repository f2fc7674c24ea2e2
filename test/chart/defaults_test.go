package chart_test

import (
	"encoding/json"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the defaults of values.yaml to the chart's generated/defaults.json")

// Templates can't read values.yaml, in which null removes a default. So the chart has its defaults in another file too.
func TestTheDefaultsAreThoseOfTheValues(t *testing.T) {
	t.Parallel()
	const path = chart + "/generated/defaults.json"
	text, err := json.MarshalIndent(parse[map[string]any](t, read(t, chart+"/values.yaml")), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	if *update {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(read(t, path)) != string(text) {
		t.Errorf("%s differs from values.yaml; run: go test -C test/chart -run Defaults -update", path)
	}
}
