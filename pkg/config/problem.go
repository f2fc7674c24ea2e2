package config

import (
	"fmt"
	"strings"
)

// Problem is a problem of one variable. It does not contain the value of the variable.
type Problem struct {
	Name string // the name of the variable
	What string // what is wrong
	Do   string // what the operator must do
}

// String returns the name, the problem and the advice.
func (p Problem) String() string { return p.Name + ": " + p.What + "; " + p.Do }

// Problems are the problems of an environment, at most one for each variable, in the order of Describe.
type Problems struct {
	List []Problem
}

// Error returns the number of problems, and one line for each.
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
