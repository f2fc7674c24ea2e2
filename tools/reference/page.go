package main

import (
	"bytes"
	"fmt"
	"html/template"
	"regexp"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
)

// layout is a page that the service serves at docs/NAME. Its references are relative, so that the page works below any prefix.
var layout = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="generator" content="go run ./tools/reference .">
    <title>{{.Title}} – User service</title>
    <link rel="icon" type="image/png" sizes="32x32" href="favicon-32x32.png">
    <link rel="stylesheet" href="page.css">
  </head>
  <body>
    <nav><a href="../docs">API</a> <a href="events">Events</a> <a href="problems">Problems</a></nav>
    <main>
{{.Content}}    </main>
  </body>
</html>
`))

var (
	title = regexp.MustCompile(`(?m)^# (.+)$`)
	// problemCell is the cell of a problem type, which gets an anchor.
	problemCell = regexp.MustCompile(`<td>(<code>/problems/([a-z-]+)</code></td>)`)
)

// htmlPage returns a page with the content of a Markdown text. Errors: the text has no heading, or can't be converted.
func htmlPage(markdown []byte) ([]byte, error) {
	heading := title.FindSubmatch(markdown)
	if heading == nil {
		return nil, fmt.Errorf("no heading in %.40q", markdown)
	}
	converter := goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	var content, out bytes.Buffer
	if err := converter.Convert(markdown, &content, parser.WithContext(parser.NewContext(parser.WithIDs(anchors{})))); err != nil {
		return nil, fmt.Errorf("convert Markdown: %w", err)
	}
	marked := problemCell.ReplaceAll(content.Bytes(), []byte(`<td id="$2">$1`))
	err := layout.Execute(&out, map[string]any{"Title": string(heading[1]), "Content": template.HTML(marked)}) //nolint:gosec // own text
	if err != nil {
		return nil, fmt.Errorf("write a page: %w", err)
	}
	return out.Bytes(), nil
}

// anchors generates the ids of headings.
type anchors struct{}

// Generate implements [parser.IDs].
func (anchors) Generate(heading []byte, _ ast.NodeKind) []byte {
	return []byte(anchor(string(heading)))
}

// Put implements [parser.IDs].
func (anchors) Put([]byte) {}
