package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// The values of the flag --output.
const (
	asTable = "table"
	asJSON  = "json"
)

// addOutput adds the flag --output to a command. A value other than table or json is a usage error, before RunE.
func addOutput(cmd *cobra.Command) *string {
	output := cmd.Flags().StringP("output", "o", asTable, "table or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{asTable, asJSON}, cobra.ShellCompDirectiveNoFileComp))
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *output != asTable && *output != asJSON {
			return usageError{errors.New("--output must be table or json")}
		}
		return run(cmd, args)
	}
	return output
}

// list prints items one by one: the rows of a table, or the elements of a JSON array.
type list interface {
	// add prints an item. cells are its columns, and value is its JSON.
	add(value any, cells ...any) error
	end() error
}

// newList returns a list in the format of the flag --output.
func newList(out io.Writer, output string, header ...any) list {
	if output == asJSON {
		return &array{out: out}
	}
	t := &table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	_ = t.add(nil, header...) // the writer keeps it until the end
	return t
}

// table prints aligned columns.
type table struct{ *tabwriter.Writer }

func (t *table) add(_ any, cells ...any) error {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = printable(fmt.Sprint(c))
	}
	_, err := fmt.Fprintln(t, strings.Join(texts, "\t"))
	return err
}

func (t *table) end() error { return t.Flush() }

// array prints a JSON array, element by element.
type array struct {
	out     io.Writer
	started bool
}

func (a *array) add(value any, _ ...any) error {
	element, err := encode(value)
	if err != nil {
		return err
	}
	separator := ",\n"
	if !a.started {
		separator = "["
	}
	a.started = true
	_, err = fmt.Fprintf(a.out, "%s%s", separator, element)
	return err
}

func (a *array) end() error {
	text := "]\n"
	if !a.started {
		text = "[]\n"
	}
	_, err := io.WriteString(a.out, text)
	return err
}

// object prints fields: the rows of a table, or a JSON object.
func object(out io.Writer, output string, value any, fields ...[2]any) error {
	if output == asJSON {
		encoded, err := encode(value)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s\n", encoded)
		return err
	}
	t := &table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	for _, f := range fields {
		if err := t.add(nil, f[0], f[1]); err != nil {
			return err
		}
	}
	return t.end()
}

// encode returns the JSON of a value for a terminal.
func encode(value any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil, fmt.Errorf("encode the output: %w", err)
	}
	return escapeControls(bytes.TrimSpace(out.Bytes())), nil
}

// escapeControls escapes the control characters that JSON allows in strings: DEL and the C1 control characters, which some terminals obey.
func escapeControls(text []byte) []byte {
	if !bytes.ContainsFunc(text, isControl) {
		return text
	}
	var out []byte
	for rest := text; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if isControl(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = append(out, rest[:size]...)
		}
		rest = rest[size:]
	}
	return out
}

// isControl reports whether a character of JSON is a control character, except for white space between its tokens.
func isControl(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' }

// printable escapes the characters of a text that could change the terminal or the order of the text. These are control and format
// characters, and bytes that are not UTF-8.
func printable(text string) string {
	visible := func(r rune) bool { return r == ' ' || unicode.IsPrint(r) && r != utf8.RuneError }
	if !strings.ContainsFunc(text, func(r rune) bool { return !visible(r) }) {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		if visible(r) {
			out.WriteRune(r)
		} else {
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}
