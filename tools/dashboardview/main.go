// Command dashboardview draws the dashboards of the chart with the data of a Prometheus server. So a change to a dashboard is
// visible without Grafana: the picture has the same panels, queries, units and thresholds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// settings select the time and the data of the pictures.
type settings struct {
	prometheus string
	last       time.Duration
	variables  map[string]string
	out        string
}

func main() {
	s := settings{variables: map[string]string{"cluster": ".*", "pod": ".*"}}
	flag.StringVar(&s.prometheus, "prometheus", "http://127.0.0.1:9090", "the URL of Prometheus")
	flag.DurationVar(&s.last, "last", time.Hour, "the time to draw, until now")
	flag.StringVar(&s.out, "out", ".", "the directory of the pictures")
	flag.Func("var", "a variable, as name=value", func(text string) error {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return errors.New("is not name=value")
		}
		s.variables[name] = value
		return nil
	})
	flag.Parse()
	for _, file := range flag.Args() {
		if err := s.draw(context.Background(), file); err != nil {
			fmt.Fprintf(os.Stderr, "dashboardview: %s: %v\n", file, err)
			os.Exit(1)
		}
	}
}

// draw writes a PNG of the dashboard in file. Chromium renders it from a temporary HTML page.
func (s settings) draw(ctx context.Context, file string) error {
	d, err := read(file)
	if err != nil {
		return err
	}
	if err := s.fill(ctx, d); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "dashboardview-")
	if err != nil {
		return fmt.Errorf("create a directory for the page: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	page := filepath.Join(dir, "page.html")
	if err := os.WriteFile(page, []byte(d.html()), 0o600); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	shot := filepath.Join(dir, "shot.png")
	const frame = 200 // the height that Chromium uses for its frame
	args := []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking", "--user-data-dir=" + dir,
		fmt.Sprintf("--window-size=%d,%d", width, d.height()+frame), "--screenshot=" + shot, "file://" + page,
	}
	browser := exec.CommandContext(ctx, "chromium", args...) //nolint:gosec // the arguments come from this program
	if out, err := browser.CombinedOutput(); err != nil {
		return fmt.Errorf("take a screenshot with chromium: %w: %s", err, out)
	}
	return cut(shot, filepath.Join(s.out, strings.TrimSuffix(filepath.Base(file), ".json")+".png"), d.height())
}
