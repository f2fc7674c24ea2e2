//go:build draw

package gateway_test

import (
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// picture is the file that docs/tutorial.md shows.
const picture = "../../docs/images/shop.png"

// TestDrawTheShop draws the first page of the shop after an order.
func TestDrawTheShop(t *testing.T) {
	inEachShop(t, "", func(t *testing.T, s *shop) {
		if !strings.HasSuffix(t.Name(), "/nginx") {
			return // the page is the same behind each gateway
		}
		user := s.logIn("user")
		s.verify(t, user)
		p := newPerson(t, s.origin())
		size := emulation.SetDeviceMetricsOverrideParams{Width: 800, Height: 640, DeviceScaleFactor: 1}
		if _, err := chromedp.Call(p.ctx, emulation.SetDeviceMetricsOverride, size); err != nil {
			t.Fatal(err)
		}
		p.logInAs(user.email, secret)
		p.send("/bff/orders")
		p.see("Assam, ")
		p.value(`document.querySelectorAll('[data-email]').forEach((part) => { part.textContent = 'ada@example.com'; })`)
		shot, err := chromedp.Call(p.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(picture, shot.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	})
}
