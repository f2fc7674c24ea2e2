package config

import (
	"fmt"
	"strings"
)

// Markdown returns a Markdown table of the variables.
func Markdown(vars []Variable) string {
	var b strings.Builder
	b.WriteString("| Variable | Default | Value | |\n| --- | --- | --- | --- |\n")
	for _, v := range vars {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", nameCell(v), defaultCell(v), v.Accepts, v.Description)
	}
	b.WriteString("| `OTEL_*` | | as OpenTelemetry defines them | Traces, sent if `OTEL_EXPORTER_OTLP_ENDPOINT` is set. |\n")
	return b.String()
}

func nameCell(v Variable) string {
	if v.File {
		return "`" + v.Name + "` or `" + v.FileName() + "`"
	}
	return "`" + v.Name + "`"
}

func defaultCell(v Variable) string {
	switch {
	case v.Required && v.RequiredBy == "":
		return "**required**"
	case v.RequiredBy != "":
		return "**required** by `" + v.RequiredBy + "`"
	case v.Default == "":
		return ""
	default:
		return "`" + v.Default + "`"
	}
}

const envHead = `# The environment variables of user-service. Copy this file to .env and change the values. If the copy names DATABASE_URL
# or RABBITMQ_HOST, make run does not start the private server; delete these lines to get it.
#
# Required variables have values for local development. JWT_SECRET has none: make run generates and keeps one; elsewhere, set
# your own. The other variables are comments with their defaults. Each secret NAME can also come from a file: set NAME_FILE
# to its path. The same is possible for RABBITMQ_HOST, _PORT and _USER.
#
# Generated from the structs in pkg/config, by: go test ./pkg/config -update
`

const envFoot = `
## Traces
#
# OpenTelemetry reads its standard variables, OTEL_*. Setting this one enables the export of
# traces by OTLP:
#OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318
`

// EnvExample returns the content of .env.example. It assigns an example to each required variable, and contains the other variables as
// comments with their defaults.
func EnvExample(vars []Variable) string {
	var b strings.Builder
	b.WriteString(envHead)
	group := ""
	for _, v := range vars {
		if v.Group != group {
			group = v.Group
			fmt.Fprintf(&b, "\n## %s\n", group)
		}
		fmt.Fprintf(&b, "\n# %s\n# %s%s.\n", v.Description, strings.ToUpper(v.Accepts[:1]), v.Accepts[1:])
		if v.Required && v.Example != "" {
			fmt.Fprintf(&b, "%s=%s\n", v.Name, v.Example)
		} else {
			fmt.Fprintf(&b, "#%s=%s\n", v.Name, v.Default)
		}
	}
	b.WriteString(envFoot)
	return b.String()
}
