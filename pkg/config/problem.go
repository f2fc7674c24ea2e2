package config

import (
	"fmt"
	"strings"
)

// Problem is what is wrong with one variable. It never shows the value.
type Problem struct {
	Name string // of the variable
	What string // what is wrong
	Do   string // what to do about it
}

// String returns "NAME: what is wrong; what to do".
func (p Problem) String() string { return p.Name + ": " + p.What + "; " + p.Do }

// Problems is everything that is wrong with an environment, at most one Problem for
// each variable, in the order in which Describe lists the variables.
type Problems struct {
	List []Problem
}

// Error says how many problems there are and lists them, one on each line.
func (p *Problems) Error() string {
	var b strings.Builder
	if len(p.List) == 1 {
		b.WriteString("1 problem with the environment:")
	} else {
		fmt.Fprintf(&b, "%d problems with the environment:", len(p.List))
	}
	for _, problem := range p.List {
		b.WriteString("\n  " + problem.String())
	}
	return b.String()
}
