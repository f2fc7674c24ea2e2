package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// figure is a figure of a result.
type figure struct {
	name  string
	value func(result) float64
}

var figures = []figure{
	{"throughput", func(r result) float64 { return r.rate }},
	{"p50", func(r result) float64 { return r.p50 }},
	{"p99", func(r result) float64 { return r.p99 }},
	{"CPU of the program", func(r result) float64 { return r.cpu }},
	{"CPU of PostgreSQL", func(r result) float64 { return r.postgresCPU }},
	{"memory", func(r result) float64 { return r.mib }},
}

// spread is the smallest, the middle and the largest of some values.
type spread struct{ low, middle, high float64 }

func (s spread) String() string { return fmt.Sprintf("%.2f (%.2f–%.2f)", s.middle, s.low, s.high) }

func spreadOf(values []float64) spread {
	slices.Sort(values)
	return spread{values[0], values[len(values)/2], values[len(values)-1]}
}

// ratio returns the spread of the rounds' ratios of service to floor.
func (c comparison) ratio(value func(result) float64) spread {
	values := make([]float64, len(c.floor))
	for i := range values {
		values[i] = value(c.service[i]) / max(value(c.floor[i]), 1e-9)
	}
	return spreadOf(values)
}

// median returns the median of a figure.
func median(results []result, value func(result) float64) float64 {
	values := make([]float64, len(results))
	for i, r := range results {
		values[i] = value(r)
	}
	return spreadOf(values).middle
}

// table returns the ratios as Markdown, and the medians of both programs.
func table(all []comparison) string {
	var out strings.Builder
	fmt.Fprintf(&out, "\nService / floor: median (min–max) of %d rounds\n\n| load, connections |", len(all[0].floor))
	for _, f := range figures {
		fmt.Fprintf(&out, " %s |", f.name)
	}
	fmt.Fprintf(&out, "\n| --- |%s\n", strings.Repeat(" --- |", len(figures)))
	for _, c := range all {
		fmt.Fprintf(&out, "| %s |", c.scenario)
		for _, f := range figures {
			fmt.Fprintf(&out, " %s |", c.ratio(f.value))
		}
		fmt.Fprintln(&out)
	}
	out.WriteString("\nMedians, floor → service\n\n| load, connections | requests/s | p50, ms | p99, ms | " +
		"CPU, ms/request | CPU of PostgreSQL, ms/request | MiB |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, c := range all {
		fmt.Fprintf(&out, "| %s |", c.scenario)
		for i, f := range figures {
			format := []string{" %.0f → %.0f |", " %.2f → %.2f |", " %.2f → %.2f |", " %.3f → %.3f |", " %.3f → %.3f |", " %.0f → %.0f |"}[i]
			fmt.Fprintf(&out, format, median(c.floor, f.value), median(c.service, f.value))
		}
		fmt.Fprintln(&out)
	}
	for _, c := range all {
		if c.request == nil {
			out.WriteString(stormTable(c))
		}
	}
	out.WriteString(problems(all))
	return out.String()
}

// stormTable compares the reads with logins to those without.
func stormTable(c comparison) string {
	var out strings.Builder
	out.WriteString("\nReads in the storm / reads without logins: median (min–max)\n\n| program | p50 | p99 | logins refused with Retry-After |\n" +
		"| --- | --- | --- | --- |\n")
	for _, of := range []struct {
		name    string
		results []result
	}{{"floor", c.floor}, {"service", c.service}} {
		var p50, p99 []float64
		refused := 0
		for _, r := range of.results {
			p50, p99, refused = append(p50, r.p50/r.quietP50), append(p99, r.p99/r.quietP99), refused+r.refused
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %d |\n", of.name, spreadOf(p50), spreadOf(p99), refused)
	}
	return out.String()
}

// problems lists the answers that were not expected.
func problems(all []comparison) string {
	counts := make(map[string]int)
	for _, c := range all {
		for program, results := range map[string][]result{"floor": c.floor, "service": c.service} {
			for _, r := range results {
				for problem, n := range r.problems {
					counts[fmt.Sprintf("%s, %s: %s", program, c.scenario, problem)] += n
				}
			}
		}
	}
	var out strings.Builder
	for _, problem := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&out, "\nUnexpected: %s, %d times\n", problem, counts[problem])
	}
	return out.String()
}
