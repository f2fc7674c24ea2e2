package gateway_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"user-service/internal/testkit"
)

// chromium is one browser for all tests of this package. For it, every host is on this machine.
var chromium = browser{stop: func() {}}

type browser struct {
	once sync.Once
	ctx  context.Context
	stop func()
}

func (b *browser) start(t *testing.T) {
	t.Helper()
	b.once.Do(func() {
		options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
			chromedp.ExecPath(testkit.Installed(t, "chromium", "chromium")), chromedp.DisableGPU, chromedp.IgnoreCertErrors,
			chromedp.Flag("host-resolver-rules", "MAP * 127.0.0.1"))
		if os.Geteuid() == 0 {
			options = append(options, chromedp.NoSandbox) // root can't have the sandbox
		}
		allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, cancel := chromedp.NewContext(allocator)
		b.stop = func() { cancel(); stop() }
		if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
			t.Fatal(err)
		}
		b.ctx = ctx
	})
	if b.ctx == nil {
		t.Fatal("the browser has not started")
	}
}

// tab is a tab of the browser. The tabs of a person share their cookies.
type tab struct {
	t      *testing.T
	ctx    context.Context
	origin string
	broken testkit.Buffer // exceptions, and violations of the content security policy
	sent   string         // the action of the form that was sent last
}

// newPerson opens the first tab of a person, who has no cookies yet.
func newPerson(t *testing.T, origin string) *tab {
	t.Helper()
	chromium.start(t)
	return openTab(t, chromium.ctx, origin, chromedp.WithNewBrowserContext())
}

// another opens another tab of the same person.
func (p *tab) another() *tab {
	p.t.Helper()
	return openTab(p.t, p.ctx, p.origin)
}

func openTab(t *testing.T, parent context.Context, origin string, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, stop := chromedp.NewContext(parent, options...)
	p := &tab{t: t, ctx: ctx, origin: origin}
	messages := chromedp.Console(ctx) // also opens the tab, which lives as long as ctx
	go func() {
		for message, err := range messages {
			if err == nil && (message.IsException() || message.Source == "security") {
				fmt.Fprintln(&p.broken, message)
			}
		}
	}()
	t.Cleanup(func() {
		if broken := p.broken.String(); broken != "" {
			t.Errorf("the page is broken: %s", broken)
		}
		if t.Failed() {
			t.Logf("the page: %s", p.value("location.href + '\\n' + document.body.innerText"))
		}
		stop()
	})
	p.do(chromedp.Navigate("about:blank"))
	return p
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, testkit.Timeout)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// open opens a page of the shop, or any URL.
func (p *tab) open(address string) {
	p.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = p.origin + address
	}
	p.do(chromedp.Navigate("about:blank"), chromedp.Navigate(address)) // another fragment alone would not load the page
}

// send fills the form with this action, and presses its button.
func (p *tab) send(action string, fields ...string) {
	p.t.Helper()
	p.sent = action
	form := fmt.Sprintf("form[action=%q] ", action)
	for i := 0; i < len(fields); i += 2 {
		selector := fmt.Sprintf("%s[name=%s]", form, fields[i])
		field, empty := chromedp.CSS(selector), fmt.Sprintf("document.querySelector(%q).value = ''", selector)
		// chromedp.Clear changes only the default value, which a field ignores once it has a value.
		p.do(chromedp.WaitVisible(field), chromedp.Evaluate[chromedp.Void](empty), chromedp.SendKeys(field, fields[i+1]))
	}
	button := chromedp.CSS(form + "button")
	p.do(chromedp.WaitVisible(button), chromedp.Click(button))
}

// see waits until the page shows a text. While the page asks to try again, see sends the form again.
func (p *tab) see(text string) {
	p.t.Helper()
	testkit.WaitFor(p.t, fmt.Sprintf("a page with %q", text), func() bool {
		page := p.value("document.body.innerText")
		if !strings.Contains(page, text) && strings.Contains(page, "try again shortly") {
			p.value(fmt.Sprintf(`document.querySelector('form[action="%s"] button').click()`, p.sent))
		}
		return strings.Contains(page, text)
	})
}

// value returns the value of an expression, or no text while a page loads.
func (p *tab) value(expression string) string {
	ctx, cancel := context.WithTimeout(p.ctx, testkit.Timeout)
	defer cancel()
	value, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("String("+expression+")"))
	return value
}

// run waits for the value of a promise. The value of a rejected promise is its error.
func (p *tab) run(promise string) string {
	ctx, cancel := context.WithTimeout(p.ctx, testkit.Timeout)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[string]("("+promise+").then(String, String)", chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Error(err)
	}
	return value
}

// cookies returns the cookies for the shop.
func (p *tab) cookies() []*network.Cookie {
	p.t.Helper()
	got, err := chromedp.Call(p.ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{p.origin + "/"}})
	if err != nil {
		p.t.Fatal(err)
	}
	return got.Cookies
}

// submitTo lets a page submit a form to a URL.
func submitTo(address string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`{
		const form = document.createElement('form');
		Object.assign(form, {method: 'post', action: %q, enctype: 'text/plain'});
		form.innerHTML = '<input name=\'{"item":"forged","x":"\' value=\'"}\'>';
		document.body.append(form);
		form.submit();
	}`, address))
}
