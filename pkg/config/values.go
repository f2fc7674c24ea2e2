package config

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"
)

// Value is what is in force for one variable, fit to be shown.
type Value struct {
	Name   string
	Value  string // "[hidden]" for a secret; empty if there is none
	Source Source
}

// Values returns what is in force in target after Load has filled it from env.
func Values(env envconfig.Lookuper, target any) []Value {
	var all []Value
	for _, group := range groupsOf(target) {
		for _, f := range group.fields {
			all = append(all, Value{Name: f.Name, Value: format(f.value.Interface()), Source: f.source(env)})
		}
	}
	return all
}

// format writes a value the way in which it is set.
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

// shorten turns 720h0m0s into 720h and 15m0s into 15m.
func shorten(duration string) string {
	if minutes, ok := strings.CutSuffix(duration, "m0s"); ok {
		duration = minutes + "m"
	}
	if hours, ok := strings.CutSuffix(duration, "h0m"); ok {
		duration = hours + "h"
	}
	return duration
}
