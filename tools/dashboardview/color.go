package main

import (
	"encoding/json"
	"fmt"
	"image/color"
	"regexp"
	"strings"
)

var known = map[string][3]int{
	"green": {115, 191, 105}, "yellow": {242, 204, 12}, "blue": {87, 148, 242}, "orange": {255, 152, 48}, "purple": {184, 119, 217},
	"red": {242, 73, 92}, "text": {204, 204, 220},
}

// shade returns a color as #rrggbb. The greater n modulo 4 is, the darker the color.
func shade(name string, n int) string {
	name, dark := strings.CutPrefix(name, "dark-")
	if dark {
		n++
	}
	rgb := known[name]
	for range n % 4 {
		for i := range rgb {
			rgb[i] = rgb[i] * 4 / 5
		}
	}
	return fmt.Sprintf("#%02x%02x%02x", rgb[0], rgb[1], rgb[2])
}

// named returns all shades of all named colors.
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

// paint applies the panel's overrides to the series whose names match: their color, another name, and a dashed line. The last override
// applies.
func (p *panel) paint() {
	times := map[string]int{}
	for i := range p.series {
		s := &p.series[i]
		original, name := s.name, p.FieldConfig.Defaults.Color.FixedColor
		for _, o := range p.FieldConfig.Overrides {
			if matched, err := regexp.MatchString(strings.Trim(o.Matcher.Options, "/"), original); err != nil || !matched {
				continue
			}
			for _, property := range o.Properties {
				switch property.ID {
				case "color":
					var value struct{ FixedColor string }
					_ = json.Unmarshal(property.Value, &value)
					name = value.FixedColor
				case "displayName":
					_ = json.Unmarshal(property.Value, &s.name)
				case "custom.lineStyle":
					s.limit = true
				}
			}
		}
		s.color = shade(name, times[name])
		times[name]++
	}
}

// ofThreshold returns the color that the panel's thresholds give to a value.
func (p *panel) ofThreshold(value float64) string {
	color := ""
	for _, step := range p.FieldConfig.Defaults.Thresholds.Steps {
		if step.Value == nil || value >= *step.Value {
			color = step.Color
		}
	}
	return shade(color, 0)
}
