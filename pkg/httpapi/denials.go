package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/golang-lru/v2/simplelru"

	"user-service/pkg/user"
)

// Limits of the audit entries about denied requests, for each replica.
const (
	denialsPerMinute  = 10      // entries about one caller
	maxDenialCallers  = 1 << 12 // number of counted callers; one more ends the oldest minute early
	maxPendingDenials = 1 << 12 // entries of about 300 bytes that wait for the database
	denialTimeout     = 2 * time.Second
)

// denials writes audit entries about denied requests of known callers. A caller's minute begins with the caller's first denial. The first
// denials of the minute get their entries immediately. For all further denials, one entry is written when the minute ends. This entry
// describes the latest denial, and contains the number of denials without an entry.
//
// The entries are written after the response, one at a time. So a slow database does not delay a denial, and all denials together use
// one connection of the pool.
type denials struct {
	record func(context.Context, user.Denial) error
	log    *slog.Logger

	mu      sync.Mutex
	callers *simplelru.LRU[caller, *denialMinute]
	pending []denial
	dropped int
	done    chan struct{} // closed when no entry is pending; nil while no entry is being written
}

// caller identifies a caller.
type caller struct {
	id   uuid.UUID
	name string // the name of a caller without an account
}

// denialMinute counts the denials of one caller in one minute.
type denialMinute struct {
	entries int
	last    *denial // the latest denial without an entry
	end     *time.Timer
}

type denial struct {
	user.Denial
	from user.Origin
}

func newDenials(record func(context.Context, user.Denial) error, log *slog.Logger) *denials {
	d := &denials{record: record, log: log}
	d.callers, _ = simplelru.NewLRU(maxDenialCallers, d.minuteEnded) // fails only for size 0
	return d
}

// add records a denial, immediately or at the end of the minute. It does not wait for the database.
func (d *denials) add(from user.Origin, route string, target uuid.UUID) {
	from.UserAgent = "" // not recorded
	denied := denial{from: from, Denial: user.Denial{Route: route, Target: target}}
	d.mu.Lock()
	defer d.mu.Unlock()
	minute := d.minute(caller{from.ActorID, from.Actor})
	if minute.entries < denialsPerMinute-1 && len(d.pending) < maxPendingDenials {
		minute.entries++
		d.enqueue(denied)
		return
	}
	if minute.last != nil {
		denied.Suppressed = minute.last.Suppressed + 1
	}
	minute.last = &denied
}

// minute returns the current minute of a caller, or begins a minute.
func (d *denials) minute(who caller) *denialMinute {
	if minute, ok := d.callers.Peek(who); ok {
		return minute
	}
	minute := &denialMinute{}
	minute.end = time.AfterFunc(time.Minute, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if current, ok := d.callers.Peek(who); ok && current == minute {
			d.callers.Remove(who)
		}
	})
	d.callers.Add(who, minute)
	return minute
}

// minuteEnded enqueues the audit entry that waited for the end of the minute, if there is one.
func (d *denials) minuteEnded(_ caller, minute *denialMinute) {
	minute.end.Stop()
	if minute.last != nil {
		d.enqueue(*minute.last)
	}
}

// enqueue adds a pending entry, and starts the writer if necessary. It drops the entry if too many are pending.
func (d *denials) enqueue(denied denial) {
	if len(d.pending) >= maxPendingDenials {
		d.dropped++
		return
	}
	d.pending = append(d.pending, denied)
	if d.done == nil {
		d.done = make(chan struct{})
		go d.write()
	}
}

// write writes the pending entries.
func (d *denials) write() {
	for denied, ok := d.next(); ok; denied, ok = d.next() {
		ctx, cancel := context.WithTimeout(user.WithOrigin(context.Background(), denied.from), denialTimeout)
		if err := d.record(ctx, denied.Denial); err != nil {
			d.log.Warn("a denied request is not in the audit trail", "route", denied.Route, "error", err)
		}
		cancel()
	}
}

// next removes the oldest pending entry and returns it.
func (d *denials) next() (denied denial, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dropped > 0 {
		d.log.Warn("denied requests are not in the audit trail: too many entries waited", "entries", d.dropped)
		d.dropped = 0
	}
	if len(d.pending) == 0 {
		close(d.done)
		d.pending, d.done = nil, nil
		return denied, false
	}
	denied, d.pending = d.pending[0], d.pending[1:]
	return denied, true
}

// finish ends all minutes, and waits until their entries are written. Errors: the error of ctx.
func (d *denials) finish(ctx context.Context) error {
	d.mu.Lock()
	d.callers.Purge()
	done := d.done
	d.mu.Unlock()
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// recordDenial records err in the audit trail if err denies a request of a known caller.
func (a *API) recordDenial(c *call, err error) {
	var e *user.Error
	if !errors.As(err, &e) || e.Code != user.Forbidden && e.Code != user.SecondFactorRequired {
		return
	}
	if from := c.origin(); from.ActorID != uuid.Nil || from.Actor != "" {
		a.denials.add(from, c.Method+" "+c.Pattern, c.target)
	}
}

// Finish writes the audit entries that wait for the end of their minute. Errors: the error of ctx.
func (a *API) Finish(ctx context.Context) error { return a.denials.finish(ctx) }
