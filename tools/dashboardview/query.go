package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// dashboard is the part of a Grafana dashboard that is drawn.
type dashboard struct {
	Title       string
	Panels      []*panel
	Annotations struct {
		List []struct {
			Name, IconColor string
			Enable          bool
			Target          struct{ Expr string }
		}
	}

	from, to time.Time
	marks    []mark
}

type panel struct {
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	Options     struct{ TextMode string }
	Targets     []struct {
		Expr, LegendFormat string
		Instant            bool
	}
	FieldConfig struct {
		Defaults  defaults
		Overrides []override
	}

	series []series
}

// override sets properties of the series whose names match a pattern.
type override struct {
	Matcher    struct{ Options string }
	Properties []struct {
		ID    string
		Value json.RawMessage
	}
}

type defaults struct {
	Unit     string
	Color    struct{ FixedColor string }
	Decimals *int
	Min, Max *float64
	Custom   struct {
		FillOpacity, AxisSoftMax  float64
		Stacking, ThresholdsStyle struct{ Mode string }
		ScaleDistribution         struct{ Type string }
	}
	Thresholds struct {
		Steps []struct {
			Color string
			Value *float64
		}
	}
}

// series is one line of a panel.
type series struct {
	labels      map[string]string
	name, color string
	points      map[int64]float64 // by second
	under       map[int64]float64 // the sum of the series below in a stack
	limit       bool              // a dashed line, which is not in the stack
}

// mark is a time that all panels show.
type mark struct {
	from, to int64
	color    string
	area     bool
}

func read(file string) (*dashboard, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the user names the file
	if err != nil {
		return nil, fmt.Errorf("read the dashboard: %w", err)
	}
	d := &dashboard{}
	if err := json.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("parse the dashboard: %w", err)
	}
	return d, nil
}

// step is the time between two points.
const step = 5 * time.Second

// cut removes all panels below the first row.
func (d *dashboard) cut() {
	for i, p := range d.Panels {
		if p.Type == "row" && i > 0 {
			d.Panels = d.Panels[:i]
			return
		}
	}
}

// fill queries the data of the panels. A panel without data is an error, but a current value may be missing during a fault.
func (s settings) fill(ctx context.Context, d *dashboard) error {
	d.to = s.until.Truncate(step)
	d.from = d.to.Add(-s.last)
	var errs []error
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			found, err := s.ask(ctx, d, target.Expr, target.LegendFormat, target.Instant)
			if err == nil && len(found) == 0 && !target.Instant && !needsKubernetes(target.Expr) {
				err = errors.New("no data")
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %w", p.Title, target.Expr, err))
			}
			p.series = append(p.series, found...)
		}
		p.paint()
	}
	return errors.Join(append(errs, s.annotate(ctx, d))...)
}

// needsKubernetes reports whether a query reads metrics of kube-state-metrics or of the kubelet, which may be absent.
func needsKubernetes(expr string) bool {
	return strings.Contains(expr, "kube_") || strings.Contains(expr, "container_")
}

// annotate queries the enabled annotations, and adds marks to the dashboard. Critical alerts are areas.
func (s settings) annotate(ctx context.Context, d *dashboard) error {
	for _, a := range d.Annotations.List {
		if !a.Enable {
			continue
		}
		found, err := s.ask(ctx, d, a.Target.Expr, "", false)
		if err != nil {
			return fmt.Errorf("annotation %s: %w", a.Name, err)
		}
		for _, one := range found {
			d.marks = append(d.marks, one.periods(d, a.IconColor, a.Name == "Critical alerts")...)
		}
	}
	return nil
}

// periods returns a mark for each period in which the series has points.
func (s series) periods(d *dashboard, color string, area bool) []mark {
	var out []mark
	for at := d.from.Unix(); at <= d.to.Unix(); at += int64(step.Seconds()) {
		if _, there := s.points[at]; !there {
			continue
		}
		if n := len(out); n > 0 && out[n-1].to == at {
			out[n-1].to += int64(step.Seconds())
		} else {
			out = append(out, mark{at, at + int64(step.Seconds()), color, area})
		}
	}
	return out
}

func (s settings) ask(ctx context.Context, d *dashboard, expr, legend string, instant bool) ([]series, error) {
	for name, value := range s.variables {
		expr = strings.ReplaceAll(expr, "$"+name, value)
	}
	query := url.Values{"query": {strings.ReplaceAll(expr, "$__rate_interval", "30s")}}
	path := "query"
	if instant {
		query.Set("time", strconv.FormatInt(d.to.Unix(), 10))
	} else {
		path = "query_range"
		query.Set("start", strconv.FormatInt(d.from.Unix(), 10))
		query.Set("end", strconv.FormatInt(d.to.Unix(), 10))
		query.Set("step", step.String())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.prometheus+"/api/v1/"+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("create the request: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("query Prometheus: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Error string
		Data  struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
				Values [][2]any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Error != "" {
		return nil, fmt.Errorf("the response of Prometheus: %s %w", answer.Error, err)
	}
	var out []series
	for _, r := range answer.Data.Result {
		one := series{labels: r.Metric, name: nameOf(legend, r.Metric), points: map[int64]float64{}}
		for _, sample := range append(r.Values, r.Value) {
			one.add(sample)
		}
		out = append(out, one)
	}
	return out, nil
}

func (s *series) add(sample [2]any) {
	at, ok := sample[0].(float64)
	text, _ := sample[1].(string)
	value, err := strconv.ParseFloat(text, 64)
	if ok && err == nil && !math.IsNaN(value) && !math.IsInf(value, 0) {
		s.points[int64(at)] = value
	}
}

var placeholder = regexp.MustCompile(`\{\{(\w+)\}\}`)

func nameOf(legend string, labels map[string]string) string {
	return strings.TrimSpace(placeholder.ReplaceAllStringFunc(legend, func(found string) string {
		return labels[strings.Trim(found, "{}")]
	}))
}
