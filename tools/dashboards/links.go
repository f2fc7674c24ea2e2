package main

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
)

// links returns the links above the panels. Grafana shows those to other dashboards if there are dashboards with the tag. RabbitMQ and
// CloudNativePG define these tags.
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

// dashboards links to all dashboards with a tag. Only ours have the same variables.
func dashboards(title, tag string, variables bool) object {
	return object{
		"type": "dashboards", "title": title, "tags": []string{tag}, "asDropdown": !variables,
		"includeVars": variables, "keepTime": true, "icon": "external link", "targetBlank": !variables,
	}
}

// logs returns the address of the release's log lines that pass a filter of LogQL.
func logs(filter string) string {
	return explore("logs", object{
		"expr":       `{namespace="${namespace}",pod=~"${job}-.+",container="user-service"} | json` + filter,
		"datasource": object{"type": "loki", "uid": "${logs}"},
	})
}

// traces returns the address of the service's traces that pass a filter of TraceQL.
func traces(filter string) string {
	return explore("traces", object{
		"queryType": "traceql", "query": `{resource.service.name="user-service"` + filter + `}`,
		"datasource": object{"type": "tempo", "uid": "${traces}"},
	})
}

var variable = regexp.MustCompile(`%24%7B([\w.]+)%7D`)

// explore returns the address of a query in Grafana's Explore. Grafana replaces variables only if they are not encoded.
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
