package importer

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// allowance is a reader that fails when a record exceeds its limit. Without the limit, the CSV reader would read the rest of the file
// into memory after an unclosed quote.
type allowance struct {
	in   io.Reader
	left int
}

var errAllowance = fmt.Errorf("is longer than %d bytes: perhaps a quote is left open", maxRecord)

func (a *allowance) Read(p []byte) (int, error) {
	if a.left <= 0 {
		return 0, errAllowance
	}
	n, err := a.in.Read(p[:min(len(p), a.left)])
	a.left -= n
	return n, err
}

func readCSV(in io.Reader, yield func(record) bool) {
	buffered := bufio.NewReader(in)
	skipBOM(buffered)
	allowed := &allowance{in: buffered, left: maxRecord}
	rows := csv.NewReader(allowed)
	header, err := rows.Read()
	if err == nil {
		err = checkHeader(header)
	}
	if err != nil {
		yield(record{fatal: fmt.Errorf("line 1, the header: %w", plainCSV(err))})
		return
	}
	for {
		allowed.left = maxRecord
		cells, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		rec := readRow(rows, header, cells, err)
		if !yield(rec) || rec.fatal != nil {
			return
		}
	}
}

// readRow returns the record for a row, or for the error that the CSV reader returned.
func readRow(rows *csv.Reader, header, cells []string, err error) record {
	var parsing *csv.ParseError
	switch {
	case errors.As(err, &parsing):
		return record{line: parsing.StartLine, broken: plainCSV(err).Error()}
	case err != nil:
		return record{fatal: fmt.Errorf("read a row: %w", err)}
	}
	line, _ := rows.FieldPos(0)
	rec := record{line: line}
	rec.members, rec.broken = cellsToJSON(header, cells)
	return rec
}

// plainCSV translates an error of the CSV reader into a message without line and column.
func plainCSV(err error) error {
	switch {
	case errors.Is(err, csv.ErrFieldCount):
		return errors.New("does not have as many columns as the header")
	case errors.Is(err, csv.ErrQuote), errors.Is(err, csv.ErrBareQuote):
		return errors.New("has a quote that is open, or in the middle of a cell; a quote in a cell is written twice")
	case errors.Is(err, io.EOF):
		return errors.New("is missing")
	}
	return err
}

// checkHeader checks the names of the columns. An error contains a name only if plain accepts it. In a file without a header, the first
// line is data and may contain a password hash, which must not be printed.
func checkHeader(header []string) error {
	for i, name := range header {
		switch _, known := fields[name]; {
		case !known:
			return fmt.Errorf("column %d, %s, is not one of %s", i+1, cmp.Or(plain(name), "with an invalid name"),
				strings.Join(FieldNames(), ", "))
		case slices.Contains(header[:i], name):
			return fmt.Errorf("column %d, %s, is a duplicate", i+1, name)
		}
	}
	if !slices.Contains(header, "email") {
		return errors.New("there is no column email")
	}
	return nil
}

// cellsToJSON returns the cells of a row as the members of a JSON line. It omits empty cells.
func cellsToJSON(header, cells []string) (out map[string]jsontext.Value, broken string) {
	out = make(map[string]jsontext.Value, len(cells))
	for i, cell := range cells {
		if !utf8.ValidString(cell) {
			return nil, "is not UTF-8"
		}
		if cell != "" {
			out[header[i]] = cellToJSON(fields[header[i]].kind, cell)
		}
	}
	return out, ""
}

// cellToJSON returns the value of a cell as JSON. A cell of the wrong kind becomes a string, which is refused later like a value of the
// wrong type in a JSON line.
func cellToJSON(of kind, cell string) jsontext.Value {
	if of == kindObject && jsontext.Value(cell).IsValid() {
		return jsontext.Value(cell)
	}
	var value any = cell
	switch {
	case of == kindList:
		value = strings.FieldsFunc(cell, func(r rune) bool { return r == ';' || unicode.IsSpace(r) })
	case of == kindBool && slices.Contains([]string{"true", "t", "1"}, strings.ToLower(cell)): // as Python, PostgreSQL and SQLite write it
		value = true
	case of == kindBool && slices.Contains([]string{"false", "f", "0"}, strings.ToLower(cell)):
		value = false
	}
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // a valid string, a list of them, or a boolean
	}
	return text
}
