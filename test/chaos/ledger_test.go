package chaos_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/pkg/rabbitmq"
)

// cloudEvent is what these tests read of an event.
type cloudEvent struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Subject  string `json:"subject"`
	Sequence string `json:"sequence"`
	Data     struct {
		User user `json:"user"`
	} `json:"data"`
}

// ledger is a durable queue in which every event is kept until the end of a test.
type ledger struct {
	t     *testing.T
	uri   string
	queue string
}

func openLedger(t *testing.T, broker settings) *ledger {
	t.Helper()
	l := &ledger{t: t, queue: "chaos." + strings.ToLower(rand.Text()), uri: fmt.Sprintf("amqp://%s:%s@%s:%s/",
		broker["RABBITMQ_USER"], broker["RABBITMQ_PASS"], broker["RABBITMQ_HOST"], broker["RABBITMQ_PORT"])}
	l.do("declare the queue", func(channel *amqp.Channel) error {
		if err := channel.ExchangeDeclare(rabbitmq.Exchange, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
			return err
		}
		if _, err := channel.QueueDeclare(l.queue, true, false, false, false, nil); err != nil {
			return err
		}
		return channel.QueueBind(l.queue, "#", rabbitmq.Exchange, false, nil)
	})
	t.Cleanup(func() {
		l.do("delete the queue", func(channel *amqp.Channel) error {
			_, err := channel.QueueDelete(l.queue, false, false, false)
			return err
		})
	})
	return l
}

// do uses a connection of its own: the broker may have been away since the last time.
func (l *ledger) do(what string, use func(*amqp.Channel) error) {
	l.t.Helper()
	conn, err := amqp.Dial(l.uri)
	if err != nil {
		l.t.Errorf("%s: %v", what, err)
		return
	}
	defer func() { _ = conn.Close() }()
	channel, err := conn.Channel()
	if err == nil {
		err = use(channel)
	}
	if err != nil {
		l.t.Errorf("%s: %v", what, err)
	}
}

// read takes all events that have arrived, in the order of their arrival.
func (l *ledger) read() []cloudEvent {
	l.t.Helper()
	var events []cloudEvent
	l.do("read the queue", func(channel *amqp.Channel) error {
		queue, err := channel.QueueDeclarePassive(l.queue, true, false, false, false, nil)
		if err != nil {
			return err
		}
		deliveries, err := channel.Consume(l.queue, "", true, true, false, false, nil)
		if err != nil {
			return err
		}
		events = make([]cloudEvent, queue.Messages)
		for i := range events {
			if err := json.Unmarshal((<-deliveries).Body, &events[i]); err != nil {
				return fmt.Errorf("event %d of %d: %w", i, queue.Messages, err)
			}
		}
		return nil
	})
	return events
}

// withoutDuplicates does what a consumer does: it drops those whose id it has seen.
func withoutDuplicates(events []cloudEvent) []cloudEvent {
	seen := make(map[string]bool)
	return slices.DeleteFunc(slices.Clone(events), func(e cloudEvent) bool {
		known := seen[e.ID]
		seen[e.ID] = true
		return known
	})
}

// isChange tells an event that makes a version from one that only tells of something, such as a login.
func isChange(e cloudEvent) bool {
	return slices.Contains([]string{"user.created", "user.updated", "user.deleted"}, e.Type)
}

// compare returns what is wrong with the events: those about each account must be one for
// each of its versions, in their order, and one more if it was deleted. The deletion may have
// dropped the last of the others, which had not left yet. What others did, whose
// emails have another domain, is no concern of this test.
func compare(events []cloudEvent, accounts []*account, domain string) (wrong []string) {
	arrived := make(map[string][]string)
	for _, e := range withoutDuplicates(events) {
		if isChange(e) {
			arrived[e.Subject] = append(arrived[e.Subject], e.String())
		}
	}
	known := make(map[string]bool)
	for _, a := range accounts {
		known[a.id] = true
		if want, got := a.story(), arrived[a.id]; !a.fits(want, got) {
			wrong = append(wrong, fmt.Sprintf("events of %s: %q, want %q", a.email, got, want))
		}
	}
	for _, e := range events {
		if !known[e.Subject] && strings.HasSuffix(e.Data.User.Email, "@"+domain) {
			wrong = append(wrong, fmt.Sprintf("an event of an account that nobody made: %s, %s", e.Subject, e))
		}
	}
	return wrong
}

// fits compares the events of an account with its story.
func (a *account) fits(want, got []string) bool {
	if n := len(got); a.deleted && n > 0 && n < len(want) {
		want = append(slices.Clone(want[:n-1]), want[len(want)-1])
	}
	return slices.Equal(got, want)
}

// String tells all that an event has to tell.
func (e cloudEvent) String() string {
	u := e.Data.User
	if u == (user{}) {
		return e.Type + " " + e.Sequence
	}
	return fmt.Sprintf("%s %s: version %d, %s, %s, %s", e.Type, e.Sequence, u.Version, u.ID, u.Email, u.Name)
}

// story is what the events about an account have to be.
func (a *account) story() []string {
	var all []string
	for i, name := range a.names {
		typ := "user.updated"
		if i == 0 {
			typ = "user.created"
		}
		all = append(all, fmt.Sprintf("%s %d: version %d, %s, %s, %s", typ, i+1, i+1, a.id, a.email, name))
	}
	if a.deleted {
		all = append(all, fmt.Sprintf("user.deleted %d", a.version()+1))
	}
	return all
}
