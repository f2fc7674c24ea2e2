package mail_test

import (
	"html"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"user-service/pkg/mail"
)

var shop = mail.Site{Product: "Ada's <Shop>", URL: "https://shop.example.com/de"}

func load(t *testing.T, dir string) *mail.Templates {
	t.Helper()
	templates, err := mail.LoadTemplates(dir, shop)
	if err != nil {
		t.Fatal(err)
	}
	return templates
}

// mailOf returns a mail of a kind with all fields that its templates use.
func mailOf(kind mail.Kind) mail.Mail {
	m := planned(kind, func(m *mail.Mail) { m.Factor, m.ByAdmin = "totp", true })
	switch kind {
	case mail.EmailVerification, mail.PasswordReset, mail.Invitation:
		m.Token, m.Expires = "t0ken-_", later
	}
	return m
}

var created = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)

// wanted has the texts that each mail must contain, by kind and language. Each mail must also contain the product's name and URL.
var wanted = map[mail.Kind]map[string][]string{
	mail.EmailVerification: {
		"en": {
			"Confirm your email address for Ada's <Shop>", "created on 3 February 2026, 04:05 UTC",
			"If you did not create this account", "/verify-email#token=t0ken-_", "until 1 March 2026, 13:00 UTC",
		},
		"de": {
			"E-Mail-Adresse für Ada's <Shop> bestätigen", "am 3. Februar 2026, 04:05 Uhr (UTC) angelegt",
			"Wenn Sie dieses Konto nicht angelegt haben", "/verify-email#token=t0ken-_", "bis 1. März 2026, 13:00 Uhr (UTC)",
		},
	},
	mail.PasswordReset: {
		"en": {
			"Set a new password for", "If you did not request a new password, ignore this mail",
			"/reset-password#token=t0ken-_", "until 1 March 2026, 13:00 UTC",
		},
		"de": {
			"Neues Passwort für", "Wenn Sie kein neues Passwort angefordert haben, ignorieren Sie",
			"/reset-password#token=t0ken-_", "bis 1. März 2026",
		},
	},
	mail.Invitation: {
		"en": {
			"Your account at", "an account with this email address on 3 February 2026", "If you do not know",
			"/invitation#token=t0ken-_",
		},
		"de": {"Ihr Konto bei", "am 3. Februar 2026", "nicht kennen", "/invitation#token=t0ken-_"},
	},
	mail.EmailChanged: {
		"en": {
			"has another email address", "was changed on 1 March 2026, 12:00 UTC",
			"If you did not make this change", "previous address",
		},
		"de": {"hat eine andere E-Mail-Adresse", "am 1. März 2026, 12:00 Uhr (UTC) geändert", "nicht geändert", "bisherige Adresse"},
	},
	mail.PasswordChanged: {
		"en": {"Your password at", "was changed on 1 March 2026", "If you did not make this change"},
		"de": {"Ihr Passwort bei", "am 1. März 2026", "nicht geändert"},
	},
	mail.FactorAdded: {
		"en": {"A way to log in was added", "An authenticator app was added", "If you did not make this change"},
		"de": {"hinzugefügt", "eine Authenticator-App wurde", "Wenn Sie das nicht getan haben"},
	},
	mail.FactorRemoved: {
		"en": {"A way to log in was removed", "An authenticator app was removed", "by an administrator", "If you did not"},
		"de": {"entfernt", "eine Authenticator-App wurde", "von einem Administrator", "Wenn nicht"},
	},
}

// tags matches HTML tags.
var tags = regexp.MustCompile(`(?s)<[^>]*>`)

// oneLine replaces each sequence of spaces and line breaks by one space.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func TestEachMailInBothLanguages(t *testing.T) {
	t.Parallel()
	templates := load(t, "")
	for _, kind := range mail.Kinds() {
		for lang, parts := range wanted[kind] {
			text, err := templates.Render(mailOf(kind), mail.Account{Locale: lang, Created: created})
			if err != nil {
				t.Fatal(err)
			}
			if text.Lang != lang || !strings.Contains(text.HTML, `<html lang="`+lang+`">`) {
				t.Errorf("%s in %s is in %s", kind, lang, text.Lang)
			}
			plain, page := oneLine(text.Subject+"\n"+text.Plain), oneLine(html.UnescapeString(tags.ReplaceAllString(text.HTML, "")))
			for _, part := range append(parts, "Ada's <Shop>", shop.URL) {
				if !strings.Contains(plain, part) || !strings.Contains(page, part) {
					t.Errorf("%s in %s lacks %q:\n%s\n%s\n%s", kind, lang, part, text.Subject, text.Plain, text.HTML)
				}
			}
			if strings.Contains(text.HTML, "<Shop>") || strings.Contains(text.HTML, "ZgotmplZ") {
				t.Errorf("%s in %s is not escaped: %s", kind, lang, text.HTML)
			}
			checkLinks(t, text)
		}
	}
}

// links matches URLs.
var links = regexp.MustCompile(`https?://[^\s"<)]+`)

// checkLinks checks that a token is only in the fragment, and that HTML shows the whole address of a link.
func checkLinks(t *testing.T, text mail.Text) {
	t.Helper()
	for _, content := range []string{text.Plain, html.UnescapeString(text.HTML)} {
		for _, link := range links.FindAllString(content, -1) {
			if !strings.HasPrefix(link, shop.URL) {
				t.Errorf("%q has a link to another site: %s", text.Subject, link)
			}
			if before, _, _ := strings.Cut(link, "#"); strings.Contains(before, "t0ken") {
				t.Errorf("%q has the token outside of the fragment: %s", text.Subject, link)
			}
		}
		if strings.Count(content, "t0ken-_") != strings.Count(content, "#token=t0ken-_") {
			t.Errorf("%q has the token outside of a link", text.Subject)
		}
	}
	for _, target := range regexp.MustCompile(`<a href="([^"]*)">([^<]*)</a>`).FindAllStringSubmatch(text.HTML, -1) {
		if target[1] != target[2] {
			t.Errorf("%q has a link to %s that is shown as %s", text.Subject, target[1], target[2])
		}
	}
	for _, external := range []string{"<img", "<script", "<link", "url(", "<form"} {
		if strings.Contains(text.HTML, external) {
			t.Errorf("%q has %s", text.Subject, external)
		}
	}
}

func TestTheLocaleSelectsTheLanguage(t *testing.T) {
	t.Parallel()
	templates := load(t, "")
	for locale, want := range map[string]string{
		"": "en", "en-GB": "en", "de": "de", "de-AT": "de", "de-CH-1996": "de", "gsw": "de", "fr": "en",
		"not a locale": "en", "zh-Hant-TW": "en",
	} {
		text, err := templates.Render(mailOf(mail.PasswordChanged), mail.Account{Locale: locale})
		if err != nil || text.Lang != want {
			t.Errorf("%q gets %q, %v, want %q", locale, text.Lang, err, want)
		}
	}
}

// dirOf returns a directory with these files.
func dirOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAFileReplacesATemplate(t *testing.T) {
	t.Parallel()
	templates := load(t, dirOf(t, map[string]string{
		"password_changed.de.txt": `{{define "subject"}}Neu{{end}}{{define "content"}}Moin, {{date .Time}}{{end}}`,
		"layout.en.html":          `{{define "layout"}}<b>{{template "content" .}}</b>{{end}}`,
		"..data":                  "a ConfigMap has hidden files",
	}))
	german, err := templates.Render(mailOf(mail.PasswordChanged), mail.Account{Locale: "de"})
	if err != nil || german.Subject != "Neu" || !strings.HasPrefix(german.Plain, "Moin, 1. März 2026, 12:00 Uhr (UTC)\n\n-- \n") ||
		!strings.Contains(german.HTML, "das Passwort") {
		t.Errorf("%+v, %v", german, err)
	}
	english, err := templates.Render(mailOf(mail.PasswordChanged), mail.Account{})
	if err != nil || !strings.HasPrefix(english.Subject, "Your password") || !strings.HasPrefix(english.HTML, "<b>\n<p>Hello,") {
		t.Errorf("%+v, %v", english, err)
	}
}

func TestFilesAddALanguage(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"layout.fr.txt":  `{{define "layout"}}{{template "content" .}}{{end}}`,
		"layout.fr.html": `{{define "layout"}}{{template "content" .}}{{end}}`,
	}
	for _, kind := range mail.Kinds() {
		files[string(kind)+".fr.txt"] = `{{define "subject"}}Bonjour{{end}}{{define "content"}}{{date .Time}} {{.Link}}{{end}}`
		files[string(kind)+".fr.html"] = `{{define "content"}}<a href="{{.Link}}">{{.Link}}</a>{{end}}`
	}
	text, err := load(t, dirOf(t, files)).Render(mailOf(mail.Invitation), mail.Account{Locale: "fr-CA"})
	want := "2026-03-01 12:00 UTC " + shop.URL + "/invitation#token=t0ken-_"
	if err != nil || text.Subject != "Bonjour" || text.Plain != want {
		t.Errorf("%+v, %v", text, err)
	}
	delete(files, "factor_added.fr.html")
	if _, err := mail.LoadTemplates(dirOf(t, files), shop); err == nil ||
		!strings.Contains(err.Error(), "factor_added.fr.html is missing") {
		t.Error(err)
	}
}

func TestInvalidTemplatesAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, content, want string }{
		{"password_reset.en.txt", `{{define "subject"}}`, "password_reset.en.txt: template: plain"},
		{"password_reset.en.html", `{{define "content"}}{{.Link}{{end}}`, "password_reset.en.html: template: page"},
		{
			"password_reset.en.txt", `{{define "subject"}}New{{end}}{{define "content"}}no link{{end}}`,
			"password_reset.en: the text or the HTML has no {{.Link}}",
		},
		{"invitation.de.html", `{{define "content"}}no link{{end}}`, "invitation.de: the text or the HTML has no {{.Link}}"},
		{"password_changed.en.txt", `{{define "subject"}}{{.Name}}{{end}}{{define "content"}}{{end}}`, "can't evaluate field Name"},
		{"password_changed.en.txt", `{{define "subject"}} {{end}}{{define "content"}}{{end}}`, "the subject must be one line"},
		{"password_changed.en.txt", "{{define \"subject\"}}a\nb{{end}}{{define \"content\"}}{{end}}", "the subject must be one line"},
		{
			"factor_removed.de.txt", `{{define "subject"}}a{{end}}{{define "content"}}{{if .ByAdmin}}{{.Wrong}}{{end}}{{end}}`,
			"can't evaluate field Wrong",
		},
		{"passwort_reset.en.txt", "", "passwort_reset.en.txt is not the name of a template, such as password_reset.en.txt"},
		{"password_reset.txt", "", "password_reset.txt is not the name of a template"},
	} {
		_, err := mail.LoadTemplates(dirOf(t, map[string]string{test.name: test.content}), shop)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %s: %v, want %q", test.name, test.content, err, test.want)
		}
	}
	if _, err := mail.LoadTemplates("/nowhere", shop); err == nil {
		t.Error("a directory that does not exist is accepted")
	}
}
