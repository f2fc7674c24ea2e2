package chaos_test

import (
	"testing"
	"time"

	"user-service/pkg/postgres/postgrestest"
)

func TestRequestsDoNotNoticeThatTheBrokerIsAwayAndNoEventIsLost(t *testing.T) {
	t.Parallel()
	broker := own(t, "rabbitmq")
	s := newStage(t, 1, postgrestest.URL(t), broker.env)
	stop := s.traffic.flow()
	s.traffic.await(50)
	for _, away := range []struct {
		name string
		do   func()
	}{{"stopped", broker.stop}, {"killed", broker.crash}} {
		away.do()
		s.say("RabbitMQ is %s", away.name)
		<-time.After(*outage)
		if s.waiting() == 0 {
			t.Error("no event waits in the outbox: there was no outage")
		}
		broker.up()
		s.say("RabbitMQ is back, %d events wait", s.waiting())
		waitFor(t, "the outbox to be empty", func() bool { return s.waiting() == 0 })
		s.say("all are published")
	}
	stop()
	s.check()
	s.traffic.checkUnhurt()
	if slow := s.traffic.slowest(); slow > time.Second {
		t.Errorf("one in a hundred requests took %s or more: do they wait for the broker?", slow)
	}
}
