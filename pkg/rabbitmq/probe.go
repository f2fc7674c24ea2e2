package rabbitmq

import (
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// probeInterval is the time between two probes while nothing is published. Probes detect a half-open connection before the service needs it
// for the next event.
const probeInterval = time.Second

// probe pings the broker until the session is lost. It ends the session if no response comes within confirmTime.
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
			<-s.sending // a batch need not wait for the response
			s.ping(channel)
		default: // no probe is needed, because a batch is being published and waits for its confirms
		}
	}
}

// ping waits for the response to a method that changes nothing and needs no permission: basic.qos on a channel without consumers.
func (s *session) ping(channel *amqp.Channel) {
	responded := make(chan struct{})
	go func() {
		defer close(responded)
		_ = channel.Qos(0, 0, false) // fails if the channel or the connection is closed; watch handles that
	}()
	timer := time.NewTimer(confirmTime)
	defer timer.Stop()
	select {
	case <-responded:
	case <-s.lost:
	case <-timer.C:
		if !errors.Is(s.check(), ErrBlocked) { // a blocked broker does not read
			s.end(errNoResponse)
		}
	}
}
