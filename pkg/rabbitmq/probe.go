package rabbitmq

import (
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// probeInterval is how often the broker is asked for an answer while nobody publishes, so that each replica notices a half-open
// connection by itself, and not when its turn to publish comes.
const probeInterval = time.Second

// probe asks until the session is lost. It ends a session that gets no answer for confirmTime.
func (s *session) probe() {
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-s.lost:
			return
		case <-ticker.C:
		}
		select {
		case s.sending <- struct{}{}:
			channel := s.channel.Channel
			<-s.sending // a batch need not wait for the answer
			s.ask(channel)
		default: // somebody publishes, and waits for confirms
		}
	}
}

// ask waits for an answer of the broker to something that changes nothing and needs no permission: the limit of deliveries of a channel
// that consumes nothing.
func (s *session) ask(channel *amqp.Channel) {
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_ = channel.Qos(0, 0, false) // it fails when channel or connection are closed, which others notice
	}()
	timer := time.NewTimer(confirmTime)
	defer timer.Stop()
	select {
	case <-answered:
	case <-s.lost:
	case <-timer.C:
		if !errors.Is(s.check(), ErrBlocked) { // such a broker reads nothing
			s.end(errSilent)
		}
	}
}
