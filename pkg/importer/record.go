package importer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The formats of a file of accounts.
const (
	JSONLines = "jsonl"
	CSV       = "csv"
)

// FormatOf returns the format for the extension of a file name, or "" for an unknown extension.
func FormatOf(file string) string {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".csv":
		return CSV
	case ".jsonl", ".ndjson", ".json":
		return JSONLines
	default:
		return ""
	}
}

// record is one account of a file.
type record struct {
	line    int                       // the first line of the record.
	members map[string]jsontext.Value // the members by name; for CSV, the cells as JSON.
	broken  string                    // the reason why this record can't be read.
	fatal   error                     // the reason why the rest of the file can't be read. No record follows.
}

// maxRecord is the maximum size of a record in bytes, which limits the memory. The largest valid account is much smaller.
const maxRecord = 64 << 10

// records reads a file one record at a time.
func records(in io.Reader, format string) iter.Seq[record] {
	if format == CSV {
		return func(yield func(record) bool) { readCSV(in, yield) }
	}
	return func(yield func(record) bool) { readJSON(in, yield) }
}

// skipBOM skips the byte order mark that Windows programs write before UTF-8.
func skipBOM(in *bufio.Reader) {
	if start, _ := in.Peek(3); string(start) == "\uFEFF" {
		_, _ = in.Discard(3)
	}
}

func readJSON(in io.Reader, yield func(record) bool) {
	lines := bufio.NewReaderSize(in, maxRecord)
	skipBOM(lines)
	for line := 1; ; line++ {
		text, err := lines.ReadSlice('\n')
		tooLong := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) { // skips the rest of the line
			_, err = lines.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			yield(record{fatal: fmt.Errorf("read line %d: %w", line, err)})
			return
		}
		rec := record{line: line}
		switch text = bytes.TrimSpace(text); {
		case tooLong:
			rec.broken = fmt.Sprintf("is longer than %d bytes", maxRecord)
		case len(text) > 0:
			rec.members, rec.broken = parseObject(text)
		}
		if (tooLong || len(text) > 0) && !yield(rec) || err != nil {
			return
		}
	}
}

func parseObject(text []byte) (members map[string]jsontext.Value, broken string) {
	if text[0] != '{' {
		return nil, "is not a JSON object"
	}
	switch err := json.Unmarshal(text, &members); {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return nil, "has a member twice"
	case err != nil:
		return nil, "is not a JSON object in UTF-8"
	}
	return members, ""
}
