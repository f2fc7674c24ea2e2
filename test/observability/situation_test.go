//go:build alerts || draw

package observability_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"user-service/pkg/event"
	"user-service/pkg/postgres/postgrestest"
	"user-service/pkg/rabbitmq"
)

// situation is a release with a fault.
type situation struct {
	name, fault string // its namespace and its fault
	more        int    // pods in addition to the first
	env         []string
	files       bool // the secrets come from files
	users       int  // concurrent users; 0: none
	used        func(s *stage) (once func())
	strike      func(now *situation) (mend func()) // nil: no fault
	must        []string                           // expected alerts: alert/severity, and the window of a burn rate
	may         []string                           // prefixes of other allowed alerts
	set         []string                           // values of the rules

	pods           []*stage
	bind           func(event.Type) // routes events of a type to a queue
	secrets        string           // the folder of the files
	struck, mended time.Time
}

// start starts the pods.
func (now *situation) start(t *testing.T) {
	dsn := postgrestest.URL(t)
	env := append([]string{"DATABASE_MAX_CONNS=8"}, now.env...)
	if now.files {
		now.secrets = t.TempDir()
		now.write(t, "secret", firstSecret)
		now.write(t, "accepted", "")
		env = append(env, "JWT_SECRET=", "JWT_SECRET_FILE="+filepath.Join(now.secrets, "secret"),
			"JWT_ACCEPTED_SECRETS_FILE="+filepath.Join(now.secrets, "accepted"))
	}
	for i := range 1 + now.more {
		now.pods = append(now.pods, newService(t, now.name, string(rune('a'+i)), dsn, slices.Clone(env)...))
	}
}

// use starts the users of the first pod, until stop is called.
func (now *situation) use() (stop func()) {
	if now.users == 0 {
		return func() {}
	}
	return now.pods[0].keep(now.users, now.used(now.pods[0]))
}

// newQueue makes a queue that accepts all events except password resets. bind adds a type.
func newQueue(t *testing.T) (bind func(event.Type)) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	conn, err := amqp.Dial(fmt.Sprintf("amqp://%s:%s@%s:%s/", os.Getenv("RABBITMQ_USER"), os.Getenv("RABBITMQ_PASS"),
		os.Getenv("RABBITMQ_HOST"), os.Getenv("RABBITMQ_PORT")))
	must(err)
	t.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	must(err)
	must(channel.ExchangeDeclare(rabbitmq.Exchange, amqp.ExchangeTopic, true, false, false, false, nil))
	queue, err := channel.QueueDeclare("", false, true, true, false, amqp.Table{"x-max-length": 1})
	must(err)
	bind = func(typ event.Type) { must(channel.QueueBind(queue.Name, string(typ), rabbitmq.Exchange, false, nil)) }
	for _, typ := range event.Types() {
		if typ != event.PasswordResetRequested {
			bind(typ)
		}
	}
	return bind
}
