// The program dashboardview draws the dashboards of the chart on the data of a Prometheus, so that a change
// to one can be looked at without a Grafana: a plain picture of the same panels, queries, units and thresholds.
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

// settings are what to draw, and on which data.
type settings struct {
	prometheus string
	last       time.Duration
	variables  map[string]string
	out        string
}

func main() {
	s := settings{variables: map[string]string{"pod": ".*"}}
	flag.StringVar(&s.prometheus, "prometheus", "http://127.0.0.1:9090", "the address of Prometheus")
	flag.DurationVar(&s.last, "last", time.Hour, "how much time to draw, until now")
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

// draw makes a PNG of the dashboard in file. A page beside it is what Chromium took the picture of.
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
		return fmt.Errorf("make a directory for the page: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	page := filepath.Join(dir, "page.html")
	if err := os.WriteFile(page, []byte(d.html()), 0o600); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	shot := filepath.Join(dir, "shot.png")
	const frame = 200                                                                                                   // Chromium takes its own share of the window
	browser := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", //nolint:gosec // its arguments are ours
		"--disable-background-networking", "--user-data-dir="+dir, fmt.Sprintf("--window-size=%d,%d", width, d.height()+frame), "--screenshot="+shot, "file://"+page)
	if out, err := browser.CombinedOutput(); err != nil {
		return fmt.Errorf("take a picture with chromium: %w: %s", err, out)
	}
	return cut(shot, filepath.Join(s.out, strings.TrimSuffix(filepath.Base(file), ".json")+".png"), d.height())
}
