package config

import (
	"fmt"
	"strings"
)

// Markdown returns a table of the variables.
func Markdown(vars []Variable) string {
	var b strings.Builder
	b.WriteString("| Variable | Default | Value | |\n| --- | --- | --- | --- |\n")
	for _, v := range vars {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", nameCell(v), defaultCell(v), v.Accepts, v.Description)
	}
	b.WriteString("| `OTEL_*` | | as OpenTelemetry defines them | Traces: they are sent once `OTEL_EXPORTER_OTLP_ENDPOINT` is set. |\n")
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
	case v.Required:
		return "**required**"
	case v.Default == "":
		return ""
	default:
		return "`" + v.Default + "`"
	}
}

const envHead = `# The environment of user-service. Copy this file to .env and change what you need. Where
# it names DATABASE_URL or RABBITMQ_HOST, make run starts no servers of its own: take those lines out to have them.
#
# The required variables have values that are good for local development, but for JWT_SECRET: make run makes one and
# keeps it, elsewhere set your own. The others are comments that show their defaults. In place of a secret NAME there may
# be a NAME_FILE, the path of a file that holds the value; RABBITMQ_HOST, _PORT and _USER have one too.
#
# Made from the structs in pkg/config, by: go test ./pkg/config -update
`

const envFoot = `
## Traces
#
# OpenTelemetry reads its own standard variables, OTEL_*. Traces are sent by OTLP
# once this one is set:
#OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318
`

// EnvExample returns the content of .env.example: a value for each required variable that can
// have a published one, and each other one as a comment with its default.
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
