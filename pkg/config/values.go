package config

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"
)

// Value is the current value of a variable for printing.
type Value struct {
	Name   string
	Value  string // "[hidden]" for a secret; empty: none
	Source Source
}

// Values returns the values of target after Load from env.
func Values(env envconfig.Lookuper, target any) []Value {
	var all []Value
	for _, group := range groupsOf(target) {
		for _, f := range group.fields {
			all = append(all, Value{Name: f.Name, Value: format(f.value.Interface()), Source: f.source(env)})
		}
	}
	return all
}

// format returns a value in the form in which the variable is set.
func format(value any) string {
	switch value := value.(type) {
	case slog.Level:
		return strings.ToLower(value.String())
	case time.Duration:
		return shorten(value.String())
	default:
		return fmt.Sprint(value)
	}
}

// shorten removes zero units: 720h0m0s becomes 720h, and 15m0s becomes 15m.
func shorten(duration string) string {
	if minutes, ok := strings.CutSuffix(duration, "m0s"); ok {
		duration = minutes + "m"
	}
	if hours, ok := strings.CutSuffix(duration, "h0m"); ok {
		duration = hours + "h"
	}
	return duration
}
