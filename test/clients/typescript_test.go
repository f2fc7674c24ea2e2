package clients_test

import (
	"bytes"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"user-service/api"
	"user-service/internal/testkit"
)

// TestTypeScriptIsGenerated generates a client with openapi-typescript, and types of the events with json-schema-to-typescript. One
// program registers and erases a user, while another one receives the events of this user.
func TestTypeScriptIsGenerated(t *testing.T) {
	t.Parallel()
	const email = "typescript@example.com"
	node := testkit.Installed(t, "node", "node")
	url, p := start(t), newProject(t, "typescript")
	p.run(testkit.Installed(t, "npm", "node"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	p.download(url)
	p.run(node, "node_modules/openapi-typescript/bin/cli.js", "openapi.json", "-o", "api.ts")
	p.write("openapi.yaml", api.OpenAPI()) // the events refer to its schemas
	p.write("asyncapi.yaml", api.AsyncAPI())
	p.write("events.ts", []byte(p.run(node, "generate.mjs", "asyncapi.yaml")))
	p.run(node, "node_modules/typescript/bin/tsc")

	received := p.consume(node, email)
	if got := p.run(node, "out/client.js", url, email, password); got != printed {
		t.Errorf("the program prints %s, want %s", got, printed)
	}
	want := `["user.created",1,["user"],"free"]
["user.updated",2,["metadata","name"],"Ada"]
["user.deleted",3,null]
`
	if got := received(); got != want {
		t.Errorf("the consumer prints %s, want %s", got, want)
	}
}

// consume starts the consumer of a user's events, and waits until its queue is bound. The returned function waits until the consumer
// ends, and returns the events that it printed.
func (p project) consume(node, email string) (received func() string) {
	p.t.Helper()
	const ready = "waiting for events\n"
	broker := url.URL{
		Scheme: "amqp", User: url.UserPassword(os.Getenv("RABBITMQ_USER"), os.Getenv("RABBITMQ_PASS")),
		Host: os.Getenv("RABBITMQ_HOST") + ":" + os.Getenv("RABBITMQ_PORT"),
	}
	cmd := exec.CommandContext(p.t.Context(), node, "out/consumer.js", email)
	var printed testkit.Buffer
	var errors bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, append(os.Environ(), "AMQP_URL="+broker.String()), &printed, &errors
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	testkit.WaitFor(p.t, "the consumer", func() bool { return printed.String() == ready })
	return func() string {
		p.t.Helper()
		if err := testkit.Receive(p.t, "the end of the consumer", ended); err != nil {
			p.t.Fatalf("the consumer: %v\n%s%s", err, &printed, &errors)
		}
		return strings.TrimPrefix(printed.String(), ready)
	}
}
