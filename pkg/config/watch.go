package config

import (
	"context"
	"log/slog"
	"maps"
	"reflect"
	"time"

	"github.com/sethvargo/go-envconfig"
)

// watchEvery is how often the files are read. A new value is in force after two
// readings at the latest, well within the 15 seconds that are promised.
const watchEvery = 5 * time.Second

// Watcher takes up new values of what comes from files, so that a rotated secret needs no
// restart. What comes from the environment itself never changes. All is mandatory but Checks, Every and Rejected.
type Watcher struct {
	Env    envconfig.Lookuper
	Checks []Check       // as for Load
	Every  time.Duration // between two readings; 0: five seconds
	Log    *slog.Logger
	// OnRejected is told after each look how many variables have a new value that is not taken up; nil: nobody is.
	OnRejected func(variables int)

	// These are told of a group's settings when one of them has changed. What they refuse
	// by an error, which must show nothing of it, stays as it was, and they are asked again.
	Database func(context.Context, Database) error
	RabbitMQ func(context.Context, RabbitMQ) error
	Tokens   func(context.Context, Tokens) error
}

// Run watches until ctx ends. In the beginning cfg is in force.
//
// A bad new value keeps the old one and is logged, once. It keeps no other variable from changing but those
// of the same group of keys. What changes together in a group is handed on together.
func (w Watcher) Run(ctx context.Context, cfg Config) {
	if w.Every == 0 {
		w.Every = watchEvery
	}
	watch := watch{Watcher: w, groups: groupsOf(&cfg), told: map[string]reading{}}
	ticker := time.NewTicker(w.Every)
	defer ticker.Stop()
	for watch.poll(ctx); len(watch.seen) > 0; watch.poll(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// watch is a Watcher at work.
type watch struct {
	Watcher

	groups []group            // what is in force
	seen   map[string]reading // of the last look
	told   map[string]reading // what the log has been told about each variable
}

// reading is what was read for one variable.
type reading struct {
	value   Secret
	problem string
}

// poll reads all files. Only when nothing has changed since the last look are new values taken
// up: a file may be half written, and a value without the other one that belongs to it.
func (w *watch) poll(ctx context.Context) {
	now := w.read()
	settled := maps.Equal(now, w.seen)
	w.seen = now
	if !settled {
		return
	}
	for _, g := range w.groups {
		w.update(ctx, g)
	}
	if w.OnRejected != nil {
		w.OnRejected(len(w.told))
	}
}

func (w *watch) read() map[string]reading {
	now := map[string]reading{}
	for _, g := range w.groups {
		for _, f := range g.fields {
			if f.source(w.Env) != FromFile {
				continue
			}
			value, problem := f.read(w.Env)
			r := reading{value: Secret(value)}
			if problem != nil {
				r.problem = problem.What
			}
			now[f.Name] = r
		}
	}
	return now
}

// update takes up the new values of one group, those that are good and accepted.
func (w *watch) update(ctx context.Context, g group) {
	copied := reflect.New(g.value.Type())
	copied.Elem().Set(g.value)
	next := groupsOf(copied.Interface())[0]
	changed, bad := w.applyAll(ctx, next)
	if len(changed) == 0 {
		return
	}
	if bad != "" && allOrNothing(next) {
		w.reportAll(changed, "belongs to "+bad+", which is not good")
		return
	}
	if err := w.commit(ctx, next.settings()); err != nil {
		w.reportAll(changed, err.Error())
		return
	}
	for _, name := range changed {
		w.Log.Info("took up a new value", "variable", name)
		delete(w.told, name)
	}
	g.value.Set(next.value)
}

// allOrNothing reports whether a group is taken up as a whole or not at all. A secret that signs without its
// predecessor among the accepted ones would make tokens refused, and a broker refuses the password of another user.
func allOrNothing(g group) bool {
	switch g.settings().(type) {
	case *Tokens, *RabbitMQ:
		return true
	default:
		return false
	}
}

// applyAll puts what was read into the group, and returns which variables that changed and one whose
// new value is bad, if any.
func (w *watch) applyAll(ctx context.Context, g group) (changed []string, bad string) {
	for _, f := range g.fields {
		r, watched := w.seen[f.Name]
		if !watched {
			continue
		}
		old := f.value.Interface()
		switch problem := w.apply(ctx, g, f, r); {
		case problem != "":
			w.report(f.Name, problem)
			bad = f.Name
		case f.value.Interface() != old:
			changed = append(changed, f.Name)
		default:
			delete(w.told, f.Name)
		}
	}
	return changed, bad
}

// apply puts what was read into the field, or returns what is wrong with it.
func (w *watch) apply(ctx context.Context, g group, f field, r reading) (problem string) {
	switch {
	case r.problem != "":
		return r.problem
	case r.value == "" && f.value.IsZero():
		return ""
	case r.value == "" && f.empty != "always":
		return "is empty now"
	}
	value, wrong := f.parse(ctx, r.value.Reveal())
	if wrong != nil {
		return wrong.What
	}
	old := reflect.ValueOf(f.value.Interface())
	if value.Equal(old) {
		return ""
	}
	f.value.Set(value)
	found := findings{}
	g.check(found, w.Checks)
	if p, bad := found[f.Name]; bad {
		f.value.Set(old)
		return p.What
	}
	return ""
}

func (w *watch) commit(ctx context.Context, settings any) error {
	switch s := settings.(type) {
	case *Database:
		return w.Database(ctx, *s)
	case *RabbitMQ:
		return w.RabbitMQ(ctx, *s)
	case *Tokens:
		return w.Tokens(ctx, *s)
	}
	return nil
}

// report logs why a value is not taken up, unless that has been told of the same value.
func (w *watch) report(name, problem string) {
	if last, known := w.told[name]; !known || last != w.seen[name] {
		w.Log.Warn("a new value is not taken up, and the old one stays in force", "variable", name, "problem", problem)
		w.told[name] = w.seen[name]
	}
}

func (w *watch) reportAll(names []string, problem string) {
	for _, name := range names {
		w.report(name, problem)
	}
}
