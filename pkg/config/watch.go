package config

import (
	"context"
	"log/slog"
	"maps"
	"reflect"
	"time"

	"github.com/sethvargo/go-envconfig"
)

// watchInterval is the time between two readings of the files. A new value takes effect when two consecutive readings have found it. So
// it takes effect within the documented 15 s.
const watchInterval = 5 * time.Second

// Handlers apply the settings of a group when one of them has changed. If a handler returns an error, the group keeps its previous
// settings, and the handler is called again after the next reading. The error must not contain a value.
type Handlers struct {
	Database func(context.Context, Database) error
	RabbitMQ func(context.Context, RabbitMQ) error
	Tokens   func(context.Context, Tokens) error
	DataKeys func(context.Context, DataKeys) error
	Mail     func(context.Context, Mail) error
}

// WatcherConfig configures a Watcher.
type WatcherConfig struct {
	Checks   []Check       // As for Load.
	Interval time.Duration // The time between two readings. 0: watchInterval.
	Log      *slog.Logger  // nil: none.
	// OnRejected is called after each reading with the number of variables whose new value is rejected. It may be nil.
	OnRejected func(variables int)
}

// Watcher applies new values from files, so that the service needs no restart after a rotation of a secret. Values from the environment
// itself never change.
type Watcher struct {
	env      envconfig.Lookuper
	handlers Handlers
	cfg      WatcherConfig

	groups   []group            // the current settings
	lastRead map[string]reading // the readings of the last poll
	reported map[string]reading // the reading whose problem was logged last, for each rejected variable
}

// NewWatcher returns a Watcher for the files that env names.
func NewWatcher(env envconfig.Lookuper, handlers Handlers, cfg WatcherConfig) *Watcher {
	if cfg.Interval == 0 {
		cfg.Interval = watchInterval
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.OnRejected == nil {
		cfg.OnRejected = func(int) {}
	}
	return &Watcher{env: env, handlers: handlers, cfg: cfg}
}

// Run watches the files until ctx ends. current is a pointer to the loaded settings, as for Load. Run updates these settings. Call Run
// only once.
//
// The settings of a group change together or not at all. Run logs an invalid value once.
func (w *Watcher) Run(ctx context.Context, current any) {
	w.groups, w.reported = groupsOf(current), map[string]reading{}
	ticker := time.NewTicker(w.cfg.Interval)
	defer ticker.Stop()
	for w.poll(ctx); len(w.lastRead) > 0; w.poll(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// reading is the result of reading the file of a variable.
type reading struct {
	value   Secret
	problem string
}

// poll reads all files. It applies new values only if the files are the same as in the last poll. While files are being replaced, one may
// be incomplete, or one may be new and another of its group still old.
func (w *Watcher) poll(ctx context.Context) {
	now := w.read()
	settled := maps.Equal(now, w.lastRead)
	w.lastRead = now
	if !settled {
		return
	}
	for _, g := range w.groups {
		w.update(ctx, g)
	}
	w.cfg.OnRejected(len(w.reported))
}

func (w *Watcher) read() map[string]reading {
	now := map[string]reading{}
	for _, g := range w.groups {
		for _, f := range g.fields {
			if f.source(w.env) != FromFile {
				continue
			}
			value, problem := f.read(w.env)
			r := reading{value: Secret(value)}
			if problem != nil {
				r.problem = problem.What
			}
			now[f.Name] = r
		}
	}
	return now
}

// update applies the new values of a group, if all of them are valid and the handler accepts them.
func (w *Watcher) update(ctx context.Context, g group) {
	copied := reflect.New(g.value.Type())
	copied.Elem().Set(g.value)
	next := groupsOf(copied.Interface())[0]
	changed, invalid := w.assign(next)
	if len(changed) == 0 {
		return
	}
	if invalid != "" {
		w.reportAll(changed, "belongs to "+invalid+", which is invalid")
		return
	}
	if err := w.commit(ctx, next.settings()); err != nil {
		w.reportAll(changed, err.Error())
		return
	}
	for _, name := range changed {
		w.cfg.Log.Info("applied a new value", "variable", name)
		delete(w.reported, name)
	}
	g.value.Set(next.value)
}

// assign sets the fields of the group to the last readings. It returns the names of the variables with a valid new value. If some values
// are invalid, it reports them, and returns the name of one of these variables.
func (w *Watcher) assign(g group) (changed []string, invalid string) {
	found, candidates := findings{}, map[string]bool{}
	for _, f := range g.fields {
		r, watched := w.lastRead[f.Name]
		if !watched {
			continue
		}
		old := f.value.Interface()
		if problem := f.assign(r); problem != "" {
			found.add(Problem{Name: f.Name, What: problem})
			candidates[f.Name] = true
		} else if f.value.Interface() != old {
			candidates[f.Name] = true
		} else {
			delete(w.reported, f.Name)
		}
	}
	g.check(found, w.cfg.Checks)
	for _, f := range g.fields {
		p, isInvalid := found[f.Name]
		switch {
		case !candidates[f.Name]:
		case isInvalid:
			w.report(f.Name, p.What)
			invalid = f.Name
		default:
			changed = append(changed, f.Name)
		}
	}
	return changed, invalid
}

// assign sets the field to a reading, or returns a problem.
func (f field) assign(r reading) (problem string) {
	switch {
	case r.problem != "":
		return r.problem
	case r.value == "" && f.value.IsZero():
		return ""
	case r.value == "" && f.empty != "always":
		return "is empty now"
	}
	value, p := f.parse(r.value.Reveal())
	if p != nil {
		return p.What
	}
	f.value.Set(value)
	return ""
}

func (w *Watcher) commit(ctx context.Context, settings any) error {
	switch s := settings.(type) {
	case *Database:
		return w.handlers.Database(ctx, *s)
	case *RabbitMQ:
		return w.handlers.RabbitMQ(ctx, *s)
	case *Tokens:
		return w.handlers.Tokens(ctx, *s)
	case *DataKeys:
		if w.handlers.DataKeys != nil {
			return w.handlers.DataKeys(ctx, *s)
		}
	case *Mail:
		if w.handlers.Mail != nil {
			return w.handlers.Mail(ctx, *s)
		}
	}
	return nil
}

// report logs once for each new value why it is rejected.
func (w *Watcher) report(name, problem string) {
	if last, known := w.reported[name]; !known || last != w.lastRead[name] {
		w.cfg.Log.Warn("a new value is rejected, and the old one stays in use", "variable", name, "problem", problem)
		w.reported[name] = w.lastRead[name]
	}
}

func (w *Watcher) reportAll(names []string, problem string) {
	for _, name := range names {
		w.report(name, problem)
	}
}
