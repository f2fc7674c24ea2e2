package firstrun_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"user-service/internal/testkit"
)

// reader follows the tutorial in a copy of the repository.
type reader struct {
	t         *testing.T
	dir, temp string // the copy of the repository, the servers' data
	env       []string
	addresses []string // pairs: on the page, in this test
	shell     *shell
	terminals map[string]*testkit.Buffer // outputs by command
	ids       map[string]string          // of this run, by ids on the page
	link      string                     // the link in the mail
	cleanUp   string                     // the command that deletes the data of the servers
}

func newReader(t *testing.T) *reader {
	t.Helper()
	dir := copyOfTheRepository(t)
	testkit.Installed(t, "nginx", "nginx")
	r := &reader{t: t, dir: dir, terminals: map[string]*testkit.Buffer{}, ids: map[string]string{}}
	build(t, dir)
	temp := folderForServers(t)
	r.temp = temp
	r.env = append(withoutServers(os.Environ()), "TMPDIR="+temp, "CURL_HOME="+temp)
	for variable, listed := range map[string]string{
		"HTTP_ADDR": "8080", "METRICS_ADDR": "9090", "MAILBOX_ADDR": "8025", "SHOP_ADDR": "3000", "ADMIN_ADDR": "3004",
		"BFF_ADDR": "3001", "INTERNAL_ADDR": "3002", "ORDERS_ADDR": "3003",
	} {
		free := testkit.FreeAddress(t)
		_, port, _ := strings.Cut(free, ":")
		r.env = append(r.env, variable+"="+free)
		r.addresses = append(r.addresses, "localhost:"+listed, "localhost:"+port, "127.0.0.1:"+listed, free)
		if variable == "HTTP_ADDR" {
			r.env = append(r.env, "USER_SERVICE="+free)
		}
	}
	if err := os.WriteFile(filepath.Join(temp, ".curlrc"), []byte("silent\n"), 0o600); err != nil { // no progress meter, as in a terminal
		t.Fatal(err)
	}
	t.Cleanup(func() { r.deleteData() })
	r.shell = startShell(t, dir, r.env)
	return r
}

// deleteData runs the last command of the page, and checks that it deletes the data of the servers.
func (r *reader) deleteData() {
	if r.t.Failed() {
		r.cleanUp = "tools/dev/services down --purge"
	}
	command := exec.Command("bash", "-c", r.cleanUp)
	command.Dir, command.Env = r.dir, r.env
	out, err := command.CombinedOutput()
	left, _ := filepath.Glob(filepath.Join(r.temp, "user-service-*"))
	if err != nil || len(left) > 0 {
		r.t.Errorf("%s: %v, leaves %v\n%s", r.cleanUp, err, left, out)
	}
}

// toTest replaces the addresses on the page with the addresses in this test. toPage does the reverse.
func (r *reader) toTest(text string) string { return strings.NewReplacer(r.addresses...).Replace(text) }

func (r *reader) toPage(text string) string {
	var reverse []string
	for i := 0; i < len(r.addresses); i += 2 {
		reverse = append(reverse, r.addresses[i+1], r.addresses[i])
	}
	return strings.NewReplacer(reverse...).Replace(text)
}

var (
	mailInList = regexp.MustCompile(`<a href="(/mails/[^"]+)">Confirm your email address for The Tea Shop</a>`)
	linkOfMail = regexp.MustCompile(`<a href="(http://localhost:\d+/verify-email)#token=([^"]+)">`)
)

// inTheBrowser sends the requests of the browser. The tests of the gateway open the same pages in Chromium.
func (r *reader) inTheBrowser(step string) {
	r.t.Helper()
	mails, shop := r.toTest("http://localhost:8025"), r.toTest("http://localhost:3000")
	switch step {
	case "open the mail":
		list := ""
		testkit.WaitFor(r.t, "the mail", func() bool {
			list = r.get(mails)
			return mailInList.MatchString(list)
		})
		r.link = r.get(mails + mailInList.FindStringSubmatch(list)[1])
	case "confirm the email":
		m := linkOfMail.FindStringSubmatch(r.link)
		if m == nil || !strings.HasPrefix(m[1], shop) {
			r.t.Fatalf("the mail has no link to the shop:\n%s", r.link)
		}
		if page := r.get(m[1]); !strings.Contains(page, "/bff/email-verification/confirm") {
			r.t.Errorf("the link leads to\n%s", page)
		}
		r.send(http.DefaultClient, shop+"/bff/email-verification/confirm", map[string]string{"token": m[2]})
	case "log in and order":
		jar, err := cookiejar.New(nil)
		if err != nil {
			r.t.Fatal(err)
		}
		browser := &http.Client{Jar: jar}
		password := strings.TrimSpace(r.shell.run(`echo "$password"`))
		r.send(browser, shop+"/bff/login", map[string]string{"email": "ada@example.com", "password": password})
		r.send(browser, shop+"/bff/orders", map[string]string{"item": "Assam"})
	default:
		r.t.Fatalf("unknown step in the browser: %s", step)
	}
}

// get returns the body of a page.
func (r *reader) get(address string) string {
	r.t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		r.t.Fatalf("%s: %s, %v", address, resp.Status, err)
	}
	return string(body)
}

// send sends a form of the shop.
func (r *reader) send(browser *http.Client, address string, fields map[string]string) {
	r.t.Helper()
	body, err := json.Marshal(fields)
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(string(body)))
	if err != nil {
		r.t.Fatal(err)
	}
	to, err := url.Parse(address)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/json"}, "X-Shop": {"1"}, "Origin": {"http://" + to.Host}}
	resp, err := browser.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if answer, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode >= http.StatusMultipleChoices {
		r.t.Fatalf("%s: %s %s, %v", address, resp.Status, answer, err)
	}
}

// shell is a shell that keeps its variables from command to command.
type shell struct {
	t     *testing.T
	input io.Writer
	lines *bufio.Scanner
}

const endOfCommand = "-- end of the command --"

func startShell(t *testing.T, dir string, env []string) *shell {
	t.Helper()
	bash := exec.Command("bash")
	bash.Dir, bash.Env = dir, env
	input, err := bash.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := bash.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	bash.Stderr = bash.Stdout
	if err := bash.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = input.Close()
		_ = bash.Wait()
	})
	return &shell{t: t, input: input, lines: bufio.NewScanner(output)}
}

// run returns what a command prints.
func (s *shell) run(command string) string {
	s.t.Helper()
	if _, err := io.WriteString(s.input, command+"\nprintf '\\n"+endOfCommand+"\\n'\n"); err != nil {
		s.t.Fatal(err)
	}
	var printed strings.Builder
	for s.lines.Scan() {
		if s.lines.Text() == endOfCommand {
			return printed.String()
		}
		printed.WriteString(s.lines.Text() + "\n")
	}
	s.t.Fatalf("the shell ended in the command %s: %v", command, s.lines.Err())
	return ""
}
