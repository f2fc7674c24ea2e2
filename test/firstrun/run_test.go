package firstrun_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"user-service/internal/testkit"
)

// TestMakeRunExplainsAnAddress gives a port in place of an address.
func TestMakeRunExplainsAnAddress(t *testing.T) {
	t.Parallel()
	command := exec.Command("tools/dev/run")
	command.Dir = root
	command.Env = append(withoutServers(os.Environ()), "TMPDIR="+t.TempDir(), "SMTP_URL=", "MAILBOX_ADDR=8030",
		"HTTP_ADDR="+testkit.FreeAddress(t), "METRICS_ADDR="+testkit.FreeAddress(t))
	out, err := command.CombinedOutput()
	want := "MAILBOX_ADDR: '8030' is not an address; set it to an address with a port, such as :8081"
	if err == nil || !strings.Contains(string(out), want) {
		t.Errorf("make run prints (%v)\n%s\nwant %s", err, out, want)
	}
}
