package main

import (
	"fmt"
	"regexp"
	"strings"
)

// palette is for series that have no color of their own.
var palette = []string{"green", "yellow", "blue", "orange", "purple", "red", "teal", "pink"}

var known = map[string][3]int{
	"green": {115, 191, 105}, "yellow": {242, 204, 12}, "blue": {87, 148, 242}, "orange": {255, 152, 48}, "purple": {184, 119, 217},
	"red": {242, 73, 92}, "teal": {90, 200, 200}, "pink": {255, 150, 180}, "text": {204, 204, 220},
}

// shade is a color, darker the greater n is.
func shade(name string, n int) string {
	rgb := known[name]
	for range n % 4 {
		for i := range rgb {
			rgb[i] = rgb[i] * 4 / 5
		}
	}
	return fmt.Sprintf("#%02x%02x%02x", rgb[0], rgb[1], rgb[2])
}

// paint gives each series the color of the panel's override that matches its name, else one of the palette.
func (p *panel) paint() {
	times := map[string]int{}
	for i := range p.series {
		name := palette[i%len(palette)]
		for _, o := range p.FieldConfig.Overrides {
			pattern := strings.Trim(o.Matcher.Options, "/")
			if matched, err := regexp.MatchString(pattern, p.series[i].name); err == nil && matched {
				name = o.Properties[0].Value.FixedColor
				break
			}
		}
		p.series[i].color = shade(name, times[name])
		times[name]++
	}
}

// ofThreshold is the color of a value.
func (p *panel) ofThreshold(value float64) string {
	color := ""
	for _, step := range p.FieldConfig.Defaults.Thresholds.Steps {
		if step.Value == nil || value >= *step.Value {
			color = step.Color
		}
	}
	return shade(color, 0)
}
