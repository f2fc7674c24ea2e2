// Command dashboardview draws the dashboards of the chart with the data of a Prometheus server. So a change to a dashboard is
// visible without Grafana: the picture has the same panels, queries, units and thresholds. With -grafana, Grafana draws the pictures.
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
	until      time.Time
	variables  map[string]string
	out        string
	first      bool // draw only the first row
}

func main() {
	s := settings{variables: map[string]string{"cluster": ".*", "pod": ".*"}, until: time.Now()}
	server := flag.String("grafana", "", "the URL of a Grafana that draws the pictures; its token is in GRAFANA_TOKEN")
	flag.StringVar(&s.prometheus, "prometheus", "http://127.0.0.1:9090", "the URL of Prometheus")
	flag.DurationVar(&s.last, "last", time.Hour, "the time to draw")
	flag.Func("until", "the end of the time to draw, in the format of RFC 3339; now if empty", func(text string) error {
		until, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return errors.New("is not a time such as 2006-01-02T15:04:05Z")
		}
		s.until = until
		return nil
	})
	flag.BoolVar(&s.first, "first", false, "draw only the first row of panels")
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
	if err := s.drawAll(context.Background(), *server, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "dashboardview:", err)
		os.Exit(1)
	}
}

// drawAll draws the dashboards in files, with Grafana if server is its URL.
func (s settings) drawAll(ctx context.Context, server string, files []string) error {
	draw := s.draw
	if server != "" {
		g, err := newGrafana(server, os.Getenv("GRAFANA_TOKEN"), s)
		if err != nil {
			return err
		}
		if err := g.prepare(ctx); err != nil {
			return err
		}
		draw = g.draw
	}
	for _, file := range files {
		if err := draw(ctx, file); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// draw writes a PNG of the dashboard in file. Chromium renders it from a temporary HTML page.
func (s settings) draw(ctx context.Context, file string) error {
	d, err := read(file)
	if err != nil {
		return err
	}
	if s.first {
		d.cut()
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
