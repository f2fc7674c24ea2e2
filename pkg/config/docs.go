package config

import (
	"fmt"
	"strings"
)

// Markdown returns a section with a table for each group of variables.
func Markdown(vars []Variable) string {
	var b strings.Builder
	group := ""
	for _, v := range vars {
		if v.Group != group {
			group = v.Group
			fmt.Fprintf(&b, "\n## %s\n\n| Variable | Default | Value | |\n| --- | --- | --- | --- |\n", group)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", nameCell(v), defaultCell(v), v.Accepts, v.Description)
	}
	b.WriteString("\n")
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

const envHead = `# The environment variables of user-service, as comments with their defaults or with values for local development.
# Copy this file to .env, and uncomment the variables to set. make run reads .env. It starts a private PostgreSQL unless DATABASE_URL is
# set, and a private RabbitMQ unless RABBITMQ_HOST is set. It generates and keeps JWT_SECRET unless JWT_SECRET is set.
#
# Elsewhere, the variables marked as required must be set. Each secret NAME can also come from a file: set NAME_FILE to its path.
# The same is possible for RABBITMQ_HOST, _PORT and _USER.
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

// EnvExample returns the content of .env.example. All variables are comments, so that an unchanged copy sets none. A required variable has
// its example, and the others have their defaults.
func EnvExample(vars []Variable) string {
	var b strings.Builder
	b.WriteString(envHead)
	group := ""
	for _, v := range vars {
		if v.Group != group {
			group = v.Group
			fmt.Fprintf(&b, "\n## %s\n", group)
		}
		fmt.Fprintf(&b, "\n# %s\n# %s%s.%s\n", v.Description, strings.ToUpper(v.Accepts[:1]), v.Accepts[1:], requirement(v))
		fmt.Fprintf(&b, "#%s=%s\n", v.Name, exampleOf(v))
	}
	b.WriteString(envFoot)
	return b.String()
}

// requirement returns a sentence about who requires the variable, or nothing.
func requirement(v Variable) string {
	switch {
	case v.RequiredBy != "":
		return " Required by the command " + v.RequiredBy + "."
	case v.Required:
		return " Required."
	default:
		return ""
	}
}

// exampleOf returns the value in .env.example.
func exampleOf(v Variable) string {
	if v.Required {
		return v.Example
	}
	return v.Default
}
