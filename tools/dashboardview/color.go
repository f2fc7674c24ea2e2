package main

import (
	"fmt"
	"image/color"
	"regexp"
	"strings"
)

// palette has the colors of series without an override.
var palette = []string{"green", "yellow", "blue", "orange", "purple", "red", "teal", "pink"}

var known = map[string][3]int{
	"green": {115, 191, 105}, "yellow": {242, 204, 12}, "blue": {87, 148, 242}, "orange": {255, 152, 48}, "purple": {184, 119, 217},
	"red": {242, 73, 92}, "teal": {90, 200, 200}, "pink": {255, 150, 180}, "text": {204, 204, 220},
}

// shade returns a color as #rrggbb. The greater n modulo 4 is, the darker the color.
func shade(name string, n int) string {
	rgb := known[name]
	for range n % 4 {
		for i := range rgb {
			rgb[i] = rgb[i] * 4 / 5
		}
	}
	return fmt.Sprintf("#%02x%02x%02x", rgb[0], rgb[1], rgb[2])
}

// named returns all shades.
func named() []color.Color {
	var out []color.Color
	for name := range known {
		for n := range 4 {
			c := color.RGBA{A: 255}
			_, _ = fmt.Sscanf(shade(name, n), "#%02x%02x%02x", &c.R, &c.G, &c.B)
			out = append(out, c)
		}
	}
	return out
}

// paint sets the color of each series: the color of the panel's override that matches its name, or one of the palette.
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

// ofThreshold returns the color of a value.
func (p *panel) ofThreshold(value float64) string {
	color := ""
	for _, step := range p.FieldConfig.Defaults.Thresholds.Steps {
		if step.Value == nil || value >= *step.Value {
			color = step.Color
		}
	}
	return shade(color, 0)
}
