package main

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
)

// links returns the links above the panels. The links to dashboards of RabbitMQ and CloudNativePG appear if Grafana has dashboards with
// their tags.
func links() []object {
	return []object{
		dashboards("User service", "user-service", true),
		{"type": "link", "title": "Runbooks", "url": runbooks, "icon": "doc", "targetBlank": true, "tags": []string{}},
		{"type": "link", "title": "Logs", "url": logs(""), "icon": "doc", "targetBlank": true, "tags": []string{}},
		{"type": "link", "title": "Traces", "url": traces(""), "icon": "doc", "targetBlank": true, "tags": []string{}},
		dashboards("RabbitMQ", "rabbitmq-prometheus", false),
		dashboards("CloudNativePG", "cloudnativepg", false),
	}
}

// dashboards links to all dashboards with a tag. variables is true for dashboards that have the variables of this one.
func dashboards(title, tag string, variables bool) object {
	return object{
		"type": "dashboards", "title": title, "tags": []string{tag}, "asDropdown": !variables,
		"includeVars": variables, "keepTime": true, "icon": "external link", "targetBlank": !variables,
	}
}

// logs returns the URL of the release's log lines that match a LogQL filter.
func logs(filter string) string {
	return explore("logs", object{
		"expr":       `{namespace="${namespace}",pod=~"${job}-.+",container="user-service"} | json` + filter,
		"datasource": object{"type": "loki", "uid": "${logs}"},
	})
}

// traces returns the URL of the service's traces that match a TraceQL filter.
func traces(filter string) string {
	return explore("traces", object{
		"queryType": "traceql", "query": `{resource.service.name="user-service"` + filter + `}`,
		"datasource": object{"type": "tempo", "uid": "${traces}"},
	})
}

var variable = regexp.MustCompile(`%24%7B([\w.]+)%7D`)

// explore returns the URL of a query in Grafana's Explore. It does not percent-encode variables, because Grafana would not replace them.
func explore(variableOfSource string, query object) string {
	query["refId"] = "A"
	panes, err := json.Marshal(object{"a": object{
		"datasource": "${" + variableOfSource + "}", "queries": []object{query},
		"range": object{"from": "${__from}", "to": "${__to}"},
	}})
	if err != nil {
		panic(err) // the content has only JSON types
	}
	encoded := strings.ReplaceAll(url.QueryEscape(string(panes)), "+", "%20")
	return "/explore?schemaVersion=1&panes=" + variable.ReplaceAllString(encoded, "$${$1}")
}

// byRoute and byStatus link a curve to the logs and traces of its requests.
var (
	byRoute = []object{
		{"title": "Logs of ${__field.labels.http_route}", "url": logs(` | route="${__field.labels.http_route}"`), "targetBlank": true},
		{
			"title": "Traces of ${__field.labels.http_route}",
			"url":   traces(` && span.http.route="${__field.labels.http_route}"`), "targetBlank": true,
		},
	}
	byStatus = []object{{
		"title": "Logs of ${__field.labels.http_response_status_code}",
		"url":   logs(` | status="${__field.labels.http_response_status_code}"`), "targetBlank": true,
	}}
)
