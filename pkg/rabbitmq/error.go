package rabbitmq

// Errors of Publish. After ErrNotConnected, the broker does not have the event. After any other error, the broker may have it.
const (
	// ErrNotConnected means that there is no connection to the broker.
	ErrNotConnected publishError = "not connected"
	// ErrBlocked means that the broker is low on memory or disk and accepts no messages.
	ErrBlocked publishError = "blocked by the broker"
	// ErrNacked means that the broker refused the event, because a queue is full or failed.
	ErrNacked publishError = "refused by the broker"
	// ErrRejected means that the broker will never accept the event: it is invalid or too large, or the user may not write to the topic.
	ErrRejected publishError = "rejected by the broker"
	// ErrConnectionLost means that the connection was lost before the broker's confirm.
	ErrConnectionLost publishError = "connection lost before the broker's confirm"
)

// publishError is an error for errors.Is. Its text is also the error.type in traces.
type publishError string

func (e publishError) Error() string { return string(e) }

// Refused reports whether the broker refuses this event but accepts others.
func (e publishError) Refused() bool { return e == ErrNacked || e == ErrRejected }

// ErrorType returns the attribute error.type of OpenTelemetry's semantic conventions.
func (e publishError) ErrorType() string { return string(e) }
