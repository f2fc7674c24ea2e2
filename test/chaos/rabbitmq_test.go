package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"user-service/internal/testkit"
)

// broker is a RabbitMQ of one test: one node, or a cluster.
type broker struct {
	changing       sync.Mutex // held while the password changes
	user, password string
	cookie         string // shared by the nodes
	nodes          []*brokerNode
}

// brokerNode is a process of RabbitMQ, which keeps its ports when it is restarted.
type brokerNode struct {
	process

	name   string // for Erlang
	folder string
	addr   string
	port   string // the port of Erlang's port mapper
	env    []string
}

// startTime is the deadline for the start of a broker, which is slow on a busy machine.
const startTime = 3 * time.Minute

// newBroker prepares a RabbitMQ with count nodes.
func newBroker(t *testing.T, count int) *broker {
	t.Helper()
	if err := installRabbitMQ(); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "user-service-rabbitmq-")
	if err != nil {
		t.Fatal(err)
	}
	cleanUp(t, func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil { // it contains the folder of each node
		t.Fatal(err)
	}
	b := &broker{user: "app", password: newSecret(), cookie: newSecret()}
	port := startPortMapper(t)
	for i := range count {
		b.nodes = append(b.nodes, &brokerNode{
			name: fmt.Sprintf("node-%d@localhost", i), folder: filepath.Join(dir, fmt.Sprint(i)), addr: testkit.FreeAddress(t), port: port,
		})
	}
	for _, node := range b.nodes {
		if err := b.prepare(node, testkit.FreeAddress(t)); err != nil {
			t.Fatal(err)
		}
		cleanUp(t, node.kill)
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("the log of %s:\n%s", node.name, node.log.Tail(20))
			}
		})
	}
	return b
}

// installRabbitMQ installs the missing packages.
func installRabbitMQ() error {
	if _, err := exec.LookPath(rabbitProgram("rabbitmq-server")); err == nil {
		return nil
	}
	if out, err := exec.Command("../../tools/dev/packages", "rabbitmq").CombinedOutput(); err != nil {
		return fmt.Errorf("install RabbitMQ: %w: %s", err, out)
	}
	return nil
}

// rabbitProgram returns the path of a program of RabbitMQ. Debian's wrapper in PATH would change the user.
func rabbitProgram(name string) string {
	debian := "/usr/lib/rabbitmq/bin/" + name
	if _, err := os.Stat(debian); err == nil {
		return debian
	}
	return name
}

// startPortMapper runs Erlang's port mapper and returns its port. Without it, a node would start a system-wide port mapper that outlives
// the test.
func startPortMapper(t *testing.T) (port string) {
	t.Helper()
	addr := testkit.FreeAddress(t)
	_, port, _ = net.SplitHostPort(addr)
	mapper := &process{}
	if err := mapper.launch(exec.Command("epmd", "-address", "127.0.0.1", "-port", port)); err != nil {
		t.Fatal(err)
	}
	cleanUp(t, mapper.kill)
	testkit.WaitFor(t, "Erlang's port mapper", func() bool { return listens(addr) })
	return port
}

// secret returns the password.
func (b *broker) secret() string {
	b.changing.Lock()
	defer b.changing.Unlock()
	return b.password
}

// prepare creates the folder and the configuration of a node. A cluster uses the configuration of the cluster operator: a node
// without a majority pauses.
func (b *broker) prepare(n *brokerNode, distribution string) (err error) {
	var config strings.Builder
	fmt.Fprintf(&config, "listeners.tcp.local = %s\ndefault_user = %s\ndefault_pass = %s\n", n.addr, b.user, b.password)
	config.WriteString("max_message_size = 524288\nvm_memory_high_watermark.absolute = 512MB\nlog.console = true\nlog.file = false\n")
	if len(b.nodes) > 1 {
		config.WriteString("cluster_partition_handling = pause_minority\ncluster_formation.peer_discovery_backend = classic_config\n")
		for i, member := range b.nodes {
			fmt.Fprintf(&config, "cluster_formation.classic_config.nodes.%d = %s\n", i+1, member.name)
		}
	}
	if err := os.Mkdir(n.folder, 0o700); err != nil {
		return err
	}
	files := []string{n.folder}
	for name, content := range map[string]string{
		"rabbitmq.conf": config.String(), "enabled_plugins": "[].", "env.conf": "", ".erlang.cookie": b.cookie,
	} {
		file := filepath.Join(n.folder, name)
		if err := os.WriteFile(file, []byte(content), 0o400); err != nil {
			return err
		}
		files = append(files, file)
	}
	n.user, err = systemUser("rabbitmq", files...)
	_, port, _ := net.SplitHostPort(distribution)
	n.env = n.environment(port)
	return err
}

// environment returns the environment of the node. It replaces each system-wide configuration file with a file of the node.
func (n *brokerNode) environment(distribution string) []string {
	in := func(name string) string { return filepath.Join(n.folder, name) }
	return append(n.controlEnvironment(),
		"ERL_EPMD_ADDRESS=127.0.0.1", "RABBITMQ_NODENAME="+n.name, "RABBITMQ_DIST_PORT="+distribution,
		"RABBITMQ_CONFIG_FILE="+in("rabbitmq.conf"), "RABBITMQ_CONFIG_FILES="+in("conf.d"),
		"RABBITMQ_ADVANCED_CONFIG_FILE="+in("advanced.config"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+in("enabled_plugins"), "RABBITMQ_MNESIA_BASE="+in("data"), "RABBITMQ_LOG_BASE="+in("log"),
		"RABBITMQ_GENERATED_CONFIG_DIR="+in("generated"),
		"RABBITMQ_ALLOW_INPUT=1", // Erlang replaces the start script and keeps its pid
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-noinput -kernel inet_dist_use_interface {127,0,0,1}")
}

// controlEnvironment is the environment of an operator's command.
func (n *brokerNode) controlEnvironment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + n.folder, "LANG=C.UTF-8", "ERL_CRASH_DUMP=/dev/null",
		"ERL_EPMD_PORT=" + n.port, "RABBITMQ_CONF_ENV_FILE=" + filepath.Join(n.folder, "env.conf"),
	}
}

// up starts all nodes concurrently.
func (b *broker) up() error {
	var starting errgroup.Group
	for _, node := range b.nodes {
		starting.Go(node.up)
	}
	return starting.Wait()
}

// node returns the node that the variant of a step selects.
func (b *broker) node(variant int) *brokerNode { return b.nodes[variant%len(b.nodes)] }

// await waits until all nodes accept connections.
func (b *broker) await(ctx context.Context) error {
	for _, node := range b.nodes {
		if !testkit.Await(ctx, startTime, func() bool { return listens(node.addr) }) {
			return fmt.Errorf("%s does not accept connections again", node.name)
		}
	}
	return nil
}

// up starts the node and waits until it accepts connections.
func (n *brokerNode) up() error {
	cmd := exec.Command(rabbitProgram("rabbitmq-server"))
	cmd.Env, cmd.Dir = n.env, "/"
	if err := n.launch(cmd); err != nil {
		return err
	}
	testkit.Await(context.Background(), startTime, func() bool { return n.hasEnded() || listens(n.addr) })
	if n.hasEnded() || !listens(n.addr) {
		return fmt.Errorf("%s did not start: %v\n%s", n.name, n.cmd.ProcessState, n.log.Tail(20))
	}
	return nil
}

// stop ends the node with SIGTERM.
func (n *brokerNode) stop() error { return n.end(syscall.SIGTERM) }

// crash ends the node with SIGKILL.
func (n *brokerNode) crash() error { return n.end(syscall.SIGKILL) }

// control runs an operator's command on the node and returns its output.
func (n *brokerNode) control(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, rabbitProgram(program), append([]string{"-n", n.name}, args...)...)
	cmd.Env = n.controlEnvironment()
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("%s %s on %s: %w", program, args[0], n.name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// listens reports whether a server accepts connections.
func listens(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}
