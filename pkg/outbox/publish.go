package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/event"
)

const (
	// MaxRefusals is after how many refusals in a row an event is parked.
	MaxRefusals = 20
	// minRetry is the delay after the first refusal. It doubles with each further one, up to maxRetry.
	minRetry = time.Second
	maxRetry = time.Minute
	// parkedRetry is how often a parked event is tried.
	parkedRetry = 10 * time.Minute
	// BlockedRetry is how long an event waits behind a refused one that is no longer there, because a person
	// or a build without refusals has removed it. Usually the end of the refused event ends the wait. No delay is longer.
	BlockedRetry = time.Hour
)

// retryAfter returns how long an event is deferred that was refused so often in a row.
func retryAfter(refusals int) time.Duration {
	if refusals >= MaxRefusals {
		return parkedRetry
	}
	return min(minRetry<<min(refusals-1, 10), maxRetry)
}

// publication is the publishing of one batch.
type publication struct {
	waiting  []Waiting
	outcomes []Outcome
	queues   [][]int // for each user, the indexes of the events that are not sent yet
}

// publish sends the events in rounds: each round has the oldest unsent event of each user,
// and none of a user whose last one failed. So a failure in the middle of a round
// can't put a user's later event before an earlier one.
//
// Events that were refused before are sent apart from the others: one that makes the broker close the
// channel would cost the others their confirms.
func (r *Relay) publish(ctx context.Context, waiting []Waiting) (outcomes []Outcome, confirmed []Waiting) {
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	p := publication{waiting: waiting, outcomes: make([]Outcome, len(waiting)), queues: byUser(waiting)}
	for len(p.queues) > 0 {
		var fresh, refused []int
		for _, q := range p.queues {
			if waiting[q[0]].Refusals == 0 {
				fresh = append(fresh, q[0])
			} else {
				refused = append(refused, q[0])
			}
		}
		r.send(ctx, &p, fresh)
		r.send(ctx, &p, refused)
		p.next()
	}
	r.reportRefusals(&p)
	return p.outcomes, p.confirmed()
}

// send publishes the events with these indexes and notes their outcomes.
func (r *Relay) send(ctx context.Context, p *publication, indexes []int) {
	if len(indexes) == 0 {
		return
	}
	events := make([]event.Event, len(indexes))
	for i, n := range indexes {
		events[i] = p.waiting[n].Event
	}
	for i, err := range r.publisher.Publish(ctx, events) {
		r.observe(events[i], err)
		p.outcomes[indexes[i]] = outcome(p.waiting[indexes[i]], err)
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

// next leaves the users whose event was confirmed and who have another one.
func (p *publication) next() {
	var queues [][]int
	for _, q := range p.queues {
		switch p.outcomes[q[0]].Result {
		case Confirmed:
			if len(q) > 1 {
				queues = append(queues, q[1:])
			}
		case Refused:
			for _, n := range q[1:] {
				p.outcomes[n] = Outcome{Result: Blocked, Retry: BlockedRetry}
			}
		case Unsent, Blocked:
		}
	}
	p.queues = queues
}

// confirmed returns the events that the broker has.
func (p publication) confirmed() []Waiting {
	var out []Waiting
	for i, o := range p.outcomes {
		if o.Result == Confirmed {
			out = append(out, p.waiting[i])
		}
	}
	return out
}

// byUser returns the indexes of each user's events, in their order.
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

// reportRefusals logs that the broker refuses events, at most once in remindEvery.
func (r *Relay) reportRefusals(p *publication) {
	refused, parked, first := 0, 0, -1
	for i, o := range p.outcomes {
		if o.Result != Refused {
			continue
		}
		if refused++; first < 0 {
			first = i
		}
		if p.waiting[i].Refusals+1 >= MaxRefusals {
			parked++
		}
	}
	if refused == 0 || time.Since(r.reminded) < remindEvery {
		return
	}
	r.reminded = time.Now()
	r.log.Warn("the broker refuses events; each is tried again later, and the later events of its user wait",
		"refused", refused, "parked", parked, "type", string(p.waiting[first].Type), "event_id", p.waiting[first].ID.String(), "reason", p.outcomes[first].Reason)
}
