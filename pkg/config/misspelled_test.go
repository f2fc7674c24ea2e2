package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"user-service/pkg/config"
)

func TestMisspelledVariablesAreProblems(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"LOG_LEVL":                   "LOG_LEVEL",
		"LOGLEVEL":                   "LOG_LEVEL",
		"Log_LEVEL":                  "LOG_LEVEL",
		"DATABASE_URI":               "DATABASE_URL",
		"DATABASE_URL_FLE":           "DATABASE_URL_FILE",
		"JWT_SECRETS":                "JWT_SECRET",
		"RABBITMQ_PASSWD":            "RABBITMQ_PASS",
		"TRUSTED_PROXY":              "", // differs by three letters
		"HTTP_PROXY":                 "",
		"NO_PROXY":                   "",
		"RABBITMQ_SERVICE_HOST":      "",
		"RABBITMQ_PORT_5672_TCP":     "",
		"USER_SERVICE_PORT":          "",
		"DATABASE_URL":               "",
		"RABBITMQ_HOST_FILE":         "",
		"AMQP_URL":                   "",
		"PATH":                       "",
		"GOMEMLIMIT":                 "",
		"OTEL_EXPORTER_OTLP_HEADERS": "",
	} {
		found := config.Misspelled([]string{"A=1", name + "=planted=value", "Z", "LOGS_LEVEL="})
		if want == "" {
			if len(found) != 0 {
				t.Errorf("%s counts as misspelled: %v", name, found)
			}
			continue
		}
		problem := config.Problem{Name: name, What: "is not a variable of the service", Do: "write " + want + ", or remove it"}
		if diff := cmp.Diff([]config.Problem{problem}, found); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for _, p := range found {
			if strings.Contains(p.String(), "planted") {
				t.Errorf("the value is printed: %s", p)
			}
		}
	}
}

// TestNoKnownVariableIsReportedAsMisspelled sets each known variable. None may count as misspelled, although some known names differ by
// only two letters, such as RABBITMQ_HOST and RABBITMQ_PORT.
func TestNoKnownVariableIsReportedAsMisspelled(t *testing.T) {
	t.Parallel()
	for _, v := range config.Describe(&config.Config{}) {
		if found := config.Misspelled([]string{v.Name + "=x", v.FileName() + "=x"}); v.File && len(found) != 0 {
			t.Errorf("%s counts as misspelled: %v", v.Name, found)
		}
	}
}
