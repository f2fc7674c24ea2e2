package rabbitmq

import "time"

// WithHeartbeat returns b with another heartbeat in whole seconds, so that a test need not wait long.
func (b Broker) WithHeartbeat(d time.Duration) Broker {
	b.heartbeat = d
	return b
}

// ConfirmTime is the time without a confirm after which a connection is closed.
const ConfirmTime = confirmTime

// ConfirmTimeout is the timeout for the next confirm.
type ConfirmTimeout struct{ confirmTimeout }

// Time returns the timeout.
func (p *ConfirmTimeout) Time() time.Duration { return p.time() }

// Confirmed records the latency of a confirm.
func (p *ConfirmTimeout) Confirmed(latency time.Duration) { p.confirmed(latency) }

// TimedOut records that no confirm came in this time.
func (p *ConfirmTimeout) TimedOut(waited time.Duration) { p.timedOut(waited) }
