package main

import "regexp"

// color sets the color of curves whose names match a pattern, and optionally the name that Grafana shows. Several curves get shades of the
// color.
type color struct{ names, color, shown string }

// palette has the colors of queries. Red is the color of critical alerts only.
var palette = []string{"blue", "green", "purple", "yellow", "dark-blue", "dark-green", "dark-purple"}

// The colors of known labels.
var (
	// tails are the colors of quantiles.
	tails = []color{{names: "p50", color: "green"}, {names: "p95", color: "yellow"}, {names: "p99", color: "purple"}}

	// statuses are the colors and the names of responses.
	statuses = []color{
		{"200", "green", "200 OK"},
		{"201", "green", "201 created"},
		{"202", "green", "202 accepted"},
		{"204", "green", "204 no content"},
		{"304", "blue", "304 not modified"},
		{"400", "yellow", "400 bad request"},
		{"401", "yellow", "401 unauthorized"},
		{"403", "yellow", "403 forbidden"},
		{"404", "yellow", "404 not found"},
		{"405", "yellow", "405 method not allowed"},
		{"409", "yellow", "409 conflict"},
		{"412", "yellow", "412 precondition failed"},
		{"413", "yellow", "413 body too large"},
		{"415", "yellow", "415 media type"},
		{"422", "yellow", "422 invalid body"},
		{"429", "purple", "429 too many requests"},
		{"500", warning, "500 internal error"},
		{"503", warning, "503 unavailable"},
		{names: "2..", color: "green"},
		{names: "3..", color: "blue"},
		{names: "4..", color: "yellow"},
		{names: "5..", color: warning},
	}

	// routes are the colors of groups of routes.
	routes = []color{
		{names: "/login.*", color: "blue"},
		{names: "/register.*|/password-reset.*|/invitation.*|/email-verification.*", color: "purple"},
		{names: "/refresh.*|/logout.*|/verify.*|/introspect.*|/revoke.*", color: "green"},
		{names: "/users.*", color: "yellow"},
		{names: "/roles.*|/audit-events.*", color: "dark-yellow"},
		{names: ".*", color: "text"},
	}

	// results are the colors of the results of logins and refreshes. Orange means a fault of the service.
	results = []color{
		{names: "success|second-factor-required", color: "green"},
		{names: "invalid-.*", color: "yellow"},
		{names: "too-many-requests", color: "purple"},
		{names: "validation-failed", color: "blue"},
		{names: "overloaded|unavailable|_OTHER", color: warning},
	}

	// operations are the colors of queries to the database.
	operations = []color{
		{names: "SELECT|WITH", color: "blue"},
		{names: "INSERT|UPDATE|DELETE", color: "purple"},
		{names: "BEGIN|COMMIT|ROLLBACK", color: "green"},
		{names: "BATCH", color: "yellow"},
	}

	// errorClasses are the names of the classes of PostgreSQL's error codes.
	errorClasses = []color{
		{"08", warning, "08 connection"},
		{"22", "blue", "22 invalid data"},
		{"23", "blue", "23 constraint violation"},
		{"25", "yellow", "25 transaction state"},
		{"28", warning, "28 authentication"},
		{"40", "purple", "40 conflict"},
		{"42", "yellow", "42 privilege or syntax"},
		{"53", warning, "53 resources"},
		{"55", "yellow", "55 lock not available"},
		{"57", warning, "57 shutdown or cancellation"},
		{"_OTHER", warning, "other, such as a lost connection"},
		{"canceled", "yellow", "canceled by the client"},
		{"timeout", warning, "timeout"},
		{"none", "green", "none"},
	}

	// eventTypes are the colors of groups of events.
	eventTypes = []color{
		{names: ".*_requested", color: "purple"},
		{names: "user.logged_in|user.locked_out", color: "blue"},
		{names: "user.created|user.updated|user.deleted", color: "green"},
		{names: ".*", color: "yellow"},
	}

	// mailResults are the colors of the results of events at the mailer. Orange means that the mail is not sent.
	mailResults = []color{
		{names: "sent", color: "green"},
		{names: "duplicate|expired|outdated|unneeded|unverified|limited|forwarded", color: "blue"},
		{names: "retried", color: "yellow"},
		{names: "parked", color: warning},
	}

	// severities are the colors of alerts.
	severities = []color{{names: ".* critical", color: critical}, {names: ".* warning", color: warning}, {names: ".*", color: "green"}}
)

var label = regexp.MustCompile(`\\\{\\\{\w+\\\}\\\}`)

// pattern returns a regular expression for the names of a query's curves. The values of labels have no spaces.
func (q query) pattern() string { return label.ReplaceAllString(regexp.QuoteMeta(q.legend), `\S*`) }

// overrides sets the colors of curves. The first color whose pattern matches applies, so Grafana, where the last one applies, gets them in
// reverse order.
func (p panel) overrides() []object {
	colors := p.colors
	for i, q := range p.queries {
		if len(p.queries) > 1 && len(p.colors) == 0 {
			colors = append(colors, color{names: q.pattern(), color: palette[i%len(palette)]})
		}
	}
	out := []object{}
	for i := range colors {
		c := colors[len(colors)-1-i]
		properties := []object{{"id": "color", "value": object{"mode": p.colorMode(), "fixedColor": c.color}}}
		if c.shown != "" {
			properties = append(properties, object{"id": "displayName", "value": c.shown})
		}
		out = append(out, override(c.names, properties))
	}
	for _, q := range p.caps {
		out = append(out, override(q.pattern(), []object{
			{"id": "color", "value": object{"mode": "fixed", "fixedColor": "text"}},
			{"id": "custom.lineStyle", "value": object{"fill": "dash", "dash": []int{10, 10}}},
			{"id": "custom.fillOpacity", "value": 0},
			{"id": "custom.stacking", "value": object{"mode": "none", "group": "A"}},
		}))
	}
	return out
}

func (p panel) colorMode() string {
	if p.instant() {
		return "fixed"
	}
	return "shades"
}

func override(names string, properties []object) object {
	return object{"matcher": object{"id": "byRegexp", "options": "/^(" + names + ")$/"}, "properties": properties}
}
