package mail

import (
	"embed"
	"errors"
	"fmt"
	"html"
	htmltemplate "html/template"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/template"
	"time"

	"golang.org/x/text/language"
)

//go:embed templates
var embedded embed.FS

// The languages of the embedded templates. The first one is for accounts whose locale is unknown or has no templates.
const (
	english = "en"
	german  = "de"
)

// maxSubject is the maximum length of a subject in bytes. Mail programs do not show the rest of a longer subject.
const maxSubject = 150

// Site describes the application in whose name the mails are sent.
type Site struct {
	Product string // the name of the application
	URL     string // its base URL without a slash at the end; the links begin with it
}

// Data is the data that the templates of a mail may use. It has no text that a user chose, such as a name. Otherwise anybody could register
// with the address of another person, and the mailer would send that text to this address.
type Data struct {
	Product string
	Site    string    // The base URL.
	Lang    string    // The language of the template.
	Subject string    // Only for HTML.
	Link    string    // The link with the one-time token; empty for notices.
	Expires time.Time // When the link expires.
	Created time.Time // When the account was created.
	Time    time.Time // When the account was changed.
	Factor  string    // The type of a second factor, such as totp or passkey.
	ByAdmin bool      // An administrator made the change.
}

// Text is the text of a mail.
type Text struct{ Subject, Plain, HTML, Lang string }

// Templates render mails. Create them with LoadTemplates.
type Templates struct {
	site    Site
	langs   []string
	matcher language.Matcher
	plain   map[string]*template.Template     // by kind and language, such as password_reset.en
	html    map[string]*htmltemplate.Template // by kind and language
}

// LoadTemplates returns the embedded templates. A file in dir replaces the embedded file of the same name, or adds a language. If dir is
// "", it adds nothing. Each template is executed once with sample data. Errors: an unknown name, an unreadable or invalid file, a missing
// file of an added language, a missing link, an invalid subject.
func LoadTemplates(dir string, site Site) (*Templates, error) {
	files, err := readFiles(dir)
	if err != nil {
		return nil, err
	}
	t := &Templates{site: site, plain: map[string]*template.Template{}, html: map[string]*htmltemplate.Template{}}
	t.langs = languagesOf(files)
	var problems []error
	tags := make([]language.Tag, len(t.langs))
	for i, lang := range t.langs {
		tags[i] = language.Make(lang)
		for _, kind := range Kinds() {
			if err := t.add(files, kind, lang); err != nil {
				problems = append(problems, err)
			}
		}
	}
	t.matcher = language.NewMatcher(tags)
	return t, errors.Join(problems...)
}

// readFiles returns the content of the embedded templates and of the templates in dir, by name.
func readFiles(dir string) (map[string]string, error) {
	sub, err := fs.Sub(embedded, "templates")
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	if err := addFiles(files, sub); err != nil {
		return nil, fmt.Errorf("read the embedded templates: %w", err)
	}
	if dir == "" {
		return files, nil
	}
	if err := addFiles(files, os.DirFS(dir)); err != nil {
		return nil, fmt.Errorf("read the templates: %w", err)
	}
	return files, nil
}

// addFiles reads the templates in a directory. It ignores hidden files, because Kubernetes adds some when it mounts a ConfigMap.
func addFiles(files map[string]string, dir fs.FS) error {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		if !isTemplate(entry.Name()) {
			return fmt.Errorf("%s is not the name of a template, such as %s.en.txt or layout.de.html", entry.Name(), PasswordReset)
		}
		content, err := fs.ReadFile(dir, entry.Name())
		if err != nil {
			return err
		}
		files[entry.Name()] = string(content)
	}
	return nil
}

// isTemplate reports whether name has the form KIND.LANGUAGE.txt or KIND.LANGUAGE.html. KIND is a kind of mail, or layout.
func isTemplate(name string) bool {
	parts := strings.Split(name, ".")
	if len(parts) != 3 || parts[2] != "txt" && parts[2] != "html" {
		return false
	}
	_, err := language.Parse(parts[1])
	return err == nil && (parts[0] == "layout" || slices.Contains(Kinds(), Kind(parts[0])))
}

// languagesOf returns the languages of the files, English first.
func languagesOf(files map[string]string) []string {
	langs := []string{english}
	for name := range files {
		if lang := strings.Split(name, ".")[1]; !slices.Contains(langs, lang) {
			langs = append(langs, lang)
		}
	}
	slices.Sort(langs[1:])
	return langs
}

// add parses and checks the templates of a mail.
func (t *Templates) add(files map[string]string, kind Kind, lang string) error {
	name := string(kind) + "." + lang
	funcs := template.FuncMap{"date": func(at time.Time) string { return date(lang, at) }}
	plain := template.New("plain").Funcs(funcs).Option("missingkey=error")
	page := htmltemplate.New("page").Funcs(funcs).Option("missingkey=error")
	for _, part := range []string{"layout." + lang, name} {
		for _, ending := range []string{".txt", ".html"} {
			text, ok := files[part+ending]
			if !ok {
				return fmt.Errorf("%s is missing", part+ending)
			}
			var err error
			if ending == ".txt" {
				_, err = plain.Parse(text)
			} else {
				_, err = page.Parse(text)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", part+ending, err)
			}
		}
	}
	t.plain[name], t.html[name] = plain, page
	if err := t.check(kind, lang); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// check renders a mail with sample data. Errors: a template that fails, an invalid subject, a missing link.
func (t *Templates) check(kind Kind, lang string) error {
	for _, factor := range []string{"totp", "passkey", "other"} {
		for _, byAdmin := range []bool{false, true} {
			now := time.Now()
			m := Mail{Kind: kind, At: now, Factor: factor, ByAdmin: byAdmin}
			if kind.hasLink() {
				m.Token, m.Expires = "sample-token", now
			}
			text, err := t.render(m, Account{Created: now}, lang)
			if err != nil {
				return err
			}
			link := t.link(m)
			if !strings.Contains(text.Plain, link) || !strings.Contains(html.UnescapeString(text.HTML), link) {
				return errors.New("the text or the HTML has no {{.Link}}")
			}
		}
	}
	return nil
}

// Render returns the text of a mail in the language of the account. Errors: a template that fails with this data, an invalid subject.
func (t *Templates) Render(m Mail, account Account) (Text, error) {
	tag, _ := language.Parse(account.Locale) // the zero Tag matches the first language
	_, i, _ := t.matcher.Match(tag)
	return t.render(m, account, t.langs[i])
}

func (t *Templates) render(m Mail, account Account, lang string) (Text, error) {
	name := string(m.Kind) + "." + lang
	data := Data{
		Product: t.site.Product, Site: t.site.URL, Lang: lang, Link: t.link(m), Expires: m.Expires.UTC(),
		Created: account.Created.UTC(), Time: m.At.UTC(), Factor: m.Factor, ByAdmin: m.ByAdmin,
	}
	var subject, plain, page strings.Builder
	if err := t.plain[name].ExecuteTemplate(&subject, "subject", data); err != nil {
		return Text{}, err
	}
	if err := t.plain[name].ExecuteTemplate(&plain, "layout", data); err != nil {
		return Text{}, err
	}
	data.Subject = strings.TrimSpace(subject.String())
	if err := t.html[name].ExecuteTemplate(&page, "layout", data); err != nil {
		return Text{}, err
	}
	text := Text{Subject: data.Subject, Plain: plain.String(), HTML: page.String(), Lang: lang}
	if text.Subject == "" || len(text.Subject) > maxSubject || strings.ContainsAny(text.Subject, "\r\n") {
		return Text{}, fmt.Errorf("the subject must be one line of at most %d bytes", maxSubject)
	}
	return text, nil
}

// link returns the link of a mail. Its token is in the fragment, which browsers send to no server.
func (t *Templates) link(m Mail) string {
	if !m.Kind.hasLink() {
		return ""
	}
	return t.site.URL + paths[m.Kind] + "#token=" + url.QueryEscape(m.Token)
}

// months are the German names of the months.
var months = [...]string{
	"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember",
}

// date formats a time for readers of a language. Languages other than English and German get the format of ISO 8601.
func date(lang string, at time.Time) string {
	at = at.UTC()
	switch base, _ := language.Make(lang).Base(); base.String() {
	case english:
		return at.Format("2 January 2006, 15:04 UTC")
	case german:
		return fmt.Sprintf("%d. %s %d, %s Uhr (UTC)", at.Day(), months[at.Month()-1], at.Year(), at.Format("15:04"))
	default:
		return at.Format("2006-01-02 15:04 UTC")
	}
}
