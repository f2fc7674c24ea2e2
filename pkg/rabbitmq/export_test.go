package rabbitmq

import "time"

// WithHeartbeat returns the Config with another heartbeat, in whole seconds, so that a test need
// not wait long for a death to be noticed.
func (c Config) WithHeartbeat(d time.Duration) Config {
	c.heartbeat = d
	return c
}
