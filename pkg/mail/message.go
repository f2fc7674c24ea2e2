package mail

import (
	"net/mail"
	"strings"

	gomail "github.com/wneessen/go-mail"
	"golang.org/x/net/idna"
)

// newMessage returns the message of a mail. Its Message-ID contains the id of the event, so that two copies of a mail have the same one.
func newMessage(from mail.Address, to string, m Mail, text Text) *gomail.Msg {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(&from)
	msg.ToMailAddress(&mail.Address{Address: withASCIIDomain(to)})
	msg.SetDate()
	_, domain, _ := strings.Cut(withASCIIDomain(from.Address), "@")
	msg.SetMessageIDWithValue(m.Event.String() + "@" + domain)
	msg.Subject(text.Subject)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834
	msg.SetGenHeader("X-Auto-Response-Suppress", "All")
	msg.SetGenHeader("Content-Language", text.Lang)
	msg.SetBodyString(gomail.TypeTextPlain, text.Plain)
	msg.AddAlternativeString(gomail.TypeTextHTML, text.HTML)
	return msg
}

// withASCIIDomain converts an internationalized domain to its ASCII form (A-labels, RFC 5890), because not every server accepts the Unicode
// form.
func withASCIIDomain(address string) string {
	local, domain, _ := strings.Cut(address, "@")
	if ascii, err := idna.Lookup.ToASCII(domain); err == nil {
		return local + "@" + ascii
	}
	return address
}
