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

// Limits of the entries about denied requests in the audit trail, of each replica.
const (
	denialsPerMinute  = 10      // entries about one caller
	maxDenialCallers  = 1 << 12 // whose denials are counted; past it, the one denied first gets its last entry early
	maxPendingDenials = 1 << 12 // entries that wait for the database, of some 300 bytes each
	denialTimeout     = 2 * time.Second
)

// denials makes entries in the audit trail about requests of known callers that were denied. A minute begins with the
// first denial of a caller. The first entries are made at once. The last one is made when the minute ends, about the
// latest denial, and tells how many more there were.
//
// The entries are made after the answer, one at a time: a denial takes no longer when the database is slow, and
// occupies one connection of the pool, however many there are.
type denials struct {
	record func(context.Context, user.Denial) error
	log    *slog.Logger

	mu      sync.Mutex
	callers *simplelru.LRU[caller, *denialMinute]
	pending []denial
	dropped int
	done    chan struct{} // closed when nothing is pending; nil while nothing is written
}

// caller tells callers apart.
type caller struct {
	id   uuid.UUID
	name string // of one without an account
}

// denialMinute is what is known of the denials of a caller.
type denialMinute struct {
	entries int
	last    *denial // that has no entry yet
	end     *time.Timer
}

type denial struct {
	user.Denial
	from user.Origin
}

func newDenials(record func(context.Context, user.Denial) error, log *slog.Logger) *denials {
	d := &denials{record: record, log: log}
	d.callers, _ = simplelru.NewLRU(maxDenialCallers, d.ended) // it fails for a size of 0 only
	return d
}

// add records a denial, now or at the end of the minute. It does not wait for the database.
func (d *denials) add(from user.Origin, route string, target uuid.UUID) {
	from.UserAgent = "" // is not recorded
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

// minute returns the minute of a caller that is under way, or begins one.
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

// ended makes the last entry of a minute.
func (d *denials) ended(_ caller, minute *denialMinute) {
	minute.end.Stop()
	if minute.last != nil {
		d.enqueue(*minute.last)
	}
}

// enqueue lets an entry be made.
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

// write makes the pending entries.
func (d *denials) write() {
	for denied, ok := d.next(); ok; denied, ok = d.next() {
		ctx, cancel := context.WithTimeout(user.WithOrigin(context.Background(), denied.from), denialTimeout)
		if err := d.record(ctx, denied.Denial); err != nil {
			d.log.Warn("a denied request is not in the audit trail", "route", denied.Route, "error", err)
		}
		cancel()
	}
}

// next returns the oldest pending entry.
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

// finish ends all minutes, and waits until their entries are made. Error: that of ctx.
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

// noteDenial records err if it is the denial of a known caller.
func (a *API) noteDenial(c *call, err error) {
	var e *user.Error
	if !errors.As(err, &e) || e.Code != user.Forbidden {
		return
	}
	if from := c.origin(); from.ActorID != uuid.Nil || from.Actor != "" {
		a.denials.add(from, c.Method+" "+c.Pattern, c.target)
	}
}

// Finish makes the entries of the audit trail that wait for the end of their minute. Error: that of ctx.
func (a *API) Finish(ctx context.Context) error { return a.denials.finish(ctx) }
