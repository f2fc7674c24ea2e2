package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/event"
)

const (
	// MaxRefusals is the number of consecutive refusals after which an event is parked.
	MaxRefusals = 20
	// minRetry is the delay after the first refusal. It doubles with each further refusal, up to maxRetry.
	minRetry = time.Second
	maxRetry = time.Minute
	// parkedRetry is the delay between attempts to publish a parked event.
	parkedRetry = 10 * time.Minute
	// BlockedRetry is the maximum delay of a blocked event. Usually the delay ends earlier, when the refused event leaves the outbox. The
	// maximum is for cases in which an operator or an earlier version has removed the refused event.
	BlockedRetry = time.Hour
)

// retryAfter returns the delay after this number of consecutive refusals.
func retryAfter(refusals int) time.Duration {
	if refusals >= MaxRefusals {
		return parkedRetry
	}
	return min(minRetry<<min(refusals-1, 10), maxRetry)
}

// batch is a batch of events that is being published.
type batch struct {
	waiting  []Waiting
	outcomes []Outcome
	queues   [][]int // the indexes of the unsent events of each user
}

// publish sends the events in rounds. A round has the oldest unsent event of each user, except for users whose event failed in an earlier
// round. So a failure in the middle of a round can't change the order of a user's events.
//
// publish sends events that were refused before separately from all others. If such an event makes the broker close the channel, the
// other events do not lose their confirms.
func (r *Relay) publish(ctx context.Context, waiting []Waiting) (outcomes []Outcome, confirmed []Waiting) {
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	b := batch{waiting: waiting, outcomes: make([]Outcome, len(waiting)), queues: byUser(waiting)}
	for len(b.queues) > 0 {
		var fresh, refused []int
		for _, q := range b.queues {
			if waiting[q[0]].Refusals == 0 {
				fresh = append(fresh, q[0])
			} else {
				refused = append(refused, q[0])
			}
		}
		r.send(ctx, &b, fresh)
		r.send(ctx, &b, refused)
		b.advance()
	}
	r.reportRefusals(&b)
	return b.outcomes, b.confirmed()
}

// send publishes the events with these indexes and stores their outcomes.
func (r *Relay) send(ctx context.Context, b *batch, indexes []int) {
	if len(indexes) == 0 {
		return
	}
	events := make([]event.Event, len(indexes))
	for i, n := range indexes {
		events[i] = b.waiting[n].Event
	}
	for i, err := range r.publisher.Publish(ctx, events) {
		r.observe(events[i], err)
		b.outcomes[indexes[i]] = outcome(b.waiting[indexes[i]], err)
	}
}

func outcome(w Waiting, err error) Outcome {
	var refusal interface {
		error
		Refused() bool
	}
	switch {
	case err == nil:
		return Outcome{Result: Confirmed}
	case errors.As(err, &refusal) && refusal.Refused():
		return Outcome{Result: Refused, Retry: retryAfter(w.Refusals + 1), Reason: err.Error()}
	default:
		return Outcome{Result: Unsent}
	}
}

// advance prepares the next round: it keeps the users whose event was confirmed and who have another event.
func (b *batch) advance() {
	var queues [][]int
	for _, q := range b.queues {
		switch b.outcomes[q[0]].Result {
		case Confirmed:
			if len(q) > 1 {
				queues = append(queues, q[1:])
			}
		case Refused:
			for _, n := range q[1:] {
				b.outcomes[n] = Outcome{Result: Blocked, Retry: BlockedRetry}
			}
		case Unsent, Blocked:
		}
	}
	b.queues = queues
}

// confirmed returns the events that the broker has confirmed.
func (b batch) confirmed() []Waiting {
	var out []Waiting
	for i, o := range b.outcomes {
		if o.Result == Confirmed {
			out = append(out, b.waiting[i])
		}
	}
	return out
}

// byUser groups the indexes of the events by user. It keeps their order.
func byUser(events []Waiting) [][]int {
	var queues [][]int
	queueOf := make(map[uuid.UUID]int)
	for i, e := range events {
		n, ok := queueOf[e.Subject]
		if !ok {
			n = len(queues)
			queueOf[e.Subject] = n
			queues = append(queues, nil)
		}
		queues[n] = append(queues[n], i)
	}
	return queues
}

func (r *Relay) observe(e event.Event, err error) {
	if err != nil {
		r.observer.EventFailed(string(e.Type))
		return
	}
	r.observer.EventPublished(string(e.Type), time.Since(e.Time))
}

// reportRefusals logs that the broker refuses events, at most once per warnInterval.
func (r *Relay) reportRefusals(b *batch) {
	refused, parked, first := 0, 0, -1
	for i, o := range b.outcomes {
		if o.Result != Refused {
			continue
		}
		if refused++; first < 0 {
			first = i
		}
		if b.waiting[i].Refusals+1 >= MaxRefusals {
			parked++
		}
	}
	if refused == 0 || time.Since(r.lastWarning) < warnInterval {
		return
	}
	r.lastWarning = time.Now()
	e := b.waiting[first]
	r.log.Warn("the broker refuses events; they are retried later, and block later events of their users",
		"refused", refused, "parked", parked, "type", string(e.Type), "event_id", e.ID.String(), "reason", b.outcomes[first].Reason)
}
