package tilt_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// engine is a script in place of a container engine. It knows the registry of k8s/kind/up, and logs its commands. Files in $STATE hold its
// state. The file registry has the port of the registry's container, and the file running exists while the container runs. The file taken
// has the port that another program uses.
const engine = `
echo "$@" >>"$STATE/log"
start() {
  [ "$1" != "$(cat "$STATE/taken" 2>/dev/null)" ] || { echo "address already in use" >&2; exit 125; }
  touch "$STATE/running"
}
case "$1 $2" in
  "container inspect")
    [ -e "$STATE/registry" ] || exit 1
    case $4 in
      *HostPort*) cat "$STATE/registry" ;;
      *) [ -e "$STATE/running" ] && echo true ;;
    esac ;;
  "run -d")
    [ ! -e "$STATE/registry" ] || { echo "Conflict. The container name is already in use" >&2; exit 125; }
    port=${7#127.0.0.1:} port=${port%:5000}
    echo "$port" >"$STATE/registry"
    start "$port" ;;
  "start user-service-registry") start "$(cat "$STATE/registry")" ;;
  "start "*) touch "$STATE/answers" ;;
  "rm -f") rm -f "$STATE/registry" "$STATE/running" ;;
  "exec -i") cat >/dev/null ;; # otherwise the program that writes to it could get SIGPIPE
esac
`

const kindProgram = `
echo "kind $*" >>"$STATE/log"
case "$1 $2" in
  "get clusters") [ ! -e "$STATE/cluster" ] || echo user-service ;;
  "get nodes") echo user-service-control-plane ;;
  "create cluster") touch "$STATE/cluster" "$STATE/answers" ;;
esac
`

const kubectlProgram = `
case "$*" in
  *readyz*) [ -e "$STATE/answers" ] ;;
  *apply*) grep localhost >"$STATE/announced" ;;
esac
`

// machine is a machine with a container engine, and without a cluster.
type machine struct {
	t             *testing.T
	state, engine string
}

func (m machine) set(file, text string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.state, file), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// up runs k8s/kind/up and returns its output.
func (m machine) up(env ...string) (string, error) {
	m.t.Helper()
	bin := programs(m.t, map[string]string{m.engine: engine, "kind": kindProgram, "kubectl": kubectlProgram})
	link(m.t, bin, "bash", "cat", "dirname", "grep", "rm", "sh", "sleep", "touch")
	command := exec.Command("k8s/kind/up")
	command.Env = append([]string{"PATH=" + bin, "STATE=" + m.state}, env...)
	out, err := command.CombinedOutput()
	return string(out), err
}

func TestATakenPortIsReportedEachTime(t *testing.T) {
	t.Parallel()
	m := machine{t, t.TempDir(), "docker"}
	m.set("taken", "5001")
	for range 2 {
		out, err := m.up()
		if err == nil || !strings.Contains(out, "address already in use") || !strings.Contains(out, "KIND_REGISTRY_PORT=5002") {
			t.Fatalf("the port is taken: %v: %s", err, out)
		}
	}
	if out, err := m.up("KIND_REGISTRY_PORT=5002"); err != nil || !strings.Contains(out, "localhost:5002") {
		t.Fatalf("with another port: %v: %s", err, out)
	}
	if out, err := m.up(); err != nil || !strings.Contains(read(t, filepath.Join(m.state, "announced")), "localhost:5002") {
		t.Fatalf("the registry does not keep its port: %v: %s", err, out)
	}
}

func TestAPortThatIsTakenLaterIsReported(t *testing.T) {
	t.Parallel()
	m := machine{t, t.TempDir(), "docker"}
	m.set("registry", "5001") // and does not run
	m.set("taken", "5001")
	if out, err := m.up(); err == nil || !strings.Contains(out, "address already in use") || strings.Contains(out, "Conflict") {
		t.Errorf("the port is taken: %v: %s", err, out)
	}
	if out, err := m.up("KIND_REGISTRY_PORT=5003"); err != nil {
		t.Errorf("with another port: %v: %s", err, out)
	}
}

// TestAnExistingClusterIsReached covers a cluster that was stopped, and a kubeconfig without the cluster.
func TestAnExistingClusterIsReached(t *testing.T) {
	t.Parallel()
	m := machine{t, t.TempDir(), "docker"}
	m.set("cluster", "")
	out, err := m.up()
	log := read(t, filepath.Join(m.state, "log"))
	if err != nil || !strings.Contains(log, "start user-service-control-plane") || !strings.Contains(log,
		"kind export kubeconfig --name user-service") {
		t.Errorf("%v: %s\n%s", err, out, log)
	}
	if strings.Contains(log, "create cluster") {
		t.Error("the existing cluster is created")
	}
	m.set("log", "")
	if out, err := m.up(); err != nil || strings.Contains(read(t, filepath.Join(m.state, "log")), "export kubeconfig") {
		t.Errorf("a cluster that answers is not left alone: %v: %s", err, out)
	}
}

func TestPodmanIsFound(t *testing.T) {
	t.Parallel()
	m := machine{t, t.TempDir(), "podman"}
	if out, err := m.up(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if log := read(t, filepath.Join(m.state, "log")); !strings.Contains(log, "network connect kind user-service-registry") {
		t.Errorf("podman does not connect the registry:\n%s", log)
	}
}
