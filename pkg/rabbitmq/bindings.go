package rabbitmq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Ports of RabbitMQ's management API, without and with TLS.
const (
	managementPort    = "15672"
	managementTLSPort = "15671"
)

// managementTimeout is the maximum time of a request to the management API.
const managementTimeout = 3 * time.Second

// ErrNoManagement means that the bindings can't be listed: the management API is not enabled or not reachable, or the user may not use it.
var ErrNoManagement = errors.New("the management API of RabbitMQ does not list the bindings")

// Binding is a queue or an exchange that gets events.
type Binding struct {
	Destination string `json:"destination"`
	Key         string `json:"routing_key"` // the binding key, in which * and # are wildcards
}

// Accepts reports whether the binding gets the events of a type.
func (b Binding) Accepts(typ string) bool {
	return matches(strings.Split(b.Key, "."), strings.Split(typ, "."))
}

// matches reports whether a binding key matches a routing key. * stands for one word, # for any number of words.
func matches(pattern, words []string) bool {
	switch {
	case len(pattern) == 0:
		return len(words) == 0
	case pattern[0] == "#":
		return matches(pattern[1:], words) || len(words) > 0 && matches(pattern, words[1:])
	case len(words) == 0:
		return false
	default:
		return (pattern[0] == "*" || pattern[0] == words[0]) && matches(pattern[1:], words[1:])
	}
}

// Bindings lists the bindings of the exchange. AMQP can't list them, so Bindings asks the management API at the URL base. If base is empty,
// it uses the default port of the management API on the host of the broker. Errors: ErrNoManagement.
func Bindings(ctx context.Context, broker Broker, base string) ([]Binding, error) {
	ctx, cancel := context.WithTimeout(ctx, managementTimeout)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true}
	if broker.TLS {
		config, err := broker.tlsConfig()
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = config
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, broker.bindingsURL(base), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("%w: its URL is invalid", ErrNoManagement)
	}
	req.SetBasicAuth(broker.User, broker.Password)
	resp, err := (&http.Client{Transport: transport, CheckRedirect: noRedirect}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoManagement, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s", ErrNoManagement, resp.Status)
	}
	var all []Binding
	if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 8<<20)).Decode(&all); err != nil {
		return nil, fmt.Errorf("%w: its response can't be read", ErrNoManagement)
	}
	return all, nil
}

// noRedirect makes an HTTP client follow no redirect, so that no other server gets the password.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// bindingsURL returns the URL of the bindings of the exchange.
func (b Broker) bindingsURL(base string) string {
	if base == "" {
		scheme, port := "http", managementPort
		if b.TLS {
			scheme, port = "https", managementTLSPort
		}
		base = scheme + "://" + net.JoinHostPort(b.Host, port)
	}
	vhost := b.Vhost
	if vhost == "" {
		vhost = "/"
	}
	return strings.TrimSuffix(base, "/") + "/api/exchanges/" + url.PathEscape(vhost) + "/" + Exchange + "/bindings/source"
}
