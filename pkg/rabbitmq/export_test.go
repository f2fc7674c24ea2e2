package rabbitmq

import "time"

// WithHeartbeat returns the Config with another heartbeat, in whole seconds, so that a test need
// not wait long for a death to be noticed.
func (c Config) WithHeartbeat(d time.Duration) Config {
	c.heartbeat = d
	return c
}

// ConfirmTime is how long the broker may confirm nothing.
const ConfirmTime = confirmTime

// Patience is how long to wait for the next confirm.
type Patience struct{ confirmTimeout }

// Time returns it.
func (p *Patience) Time() time.Duration { return p.time() }

// Confirmed notes how long a confirm took.
func (p *Patience) Confirmed(latency time.Duration) { p.confirmed(latency) }

// Silent notes that there was no confirm for so long.
func (p *Patience) Silent(waited time.Duration) { p.silent(waited) }
