package rabbitmq

// Why an event was not published, or may not have been. After ErrNotConnected the broker does
// not have it; after the others it may.
const (
	// ErrNotConnected means that there is no connection to the broker now.
	ErrNotConnected failure = "not connected"
	// ErrBlocked means that the broker is short of memory or disk and takes no messages.
	ErrBlocked failure = "blocked by the broker"
	// ErrNacked means that the broker refused the event: one of its queues is full, or failed.
	ErrNacked failure = "refused by the broker"
	// ErrRejected means that the broker never takes this event as it is, or that the event can't be a message: it is
	// too large, or the topic is forbidden to us.
	ErrRejected failure = "rejected by the broker"
	// ErrConnectionLost means that the connection ended before the broker's confirm.
	ErrConnectionLost failure = "connection lost before the broker's confirm"
)

// failure is an error for errors.Is, whose text is also its type in traces.
type failure string

func (f failure) Error() string { return string(f) }

// Refused reports whether the broker refuses this event, and takes others.
func (f failure) Refused() bool { return f == ErrNacked || f == ErrRejected }

// ErrorType is what OpenTelemetry's semantic conventions call error.type.
func (f failure) ErrorType() string { return string(f) }
