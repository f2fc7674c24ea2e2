package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progressEvery is the number of rows between two lines of progress where the output is not a terminal.
const progressEvery = 10_000

// progress shows the progress of a command: a bar on a terminal, and lines elsewhere.
type progress struct {
	out  io.Writer
	bar  *progressbar.ProgressBar // nil where out is not a terminal
	next int                      // rows until the next line
}

// newProgress returns the progress of an import of size bytes; -1 if the size is unknown.
func newProgress(out io.Writer, size int64) *progress {
	return newBar(out, size, progressbar.OptionShowBytes(true))
}

// newCount returns the progress of a command that counts; move sets the total.
func newCount(out io.Writer) *progress { return newBar(out, 1, progressbar.OptionShowCount()) }

func newBar(out io.Writer, size int64, option progressbar.Option) *progress {
	p := &progress{out: out, next: progressEvery}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bar = progressbar.NewOptions64(size, option, progressbar.OptionSetWriter(out),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())
	}
	return p
}

// move moves the bar to done of total.
func (p *progress) move(done, total int) {
	if p.bar != nil {
		p.bar.ChangeMax(max(done, total, 1))
		_ = p.bar.Set(done)
	}
}

// reader returns a reader of in that moves the bar by the bytes that are read.
func (p *progress) reader(in io.Reader) io.Reader {
	if p.bar == nil {
		return in
	}
	return counted{in, p.bar}
}

// counted is a reader that moves the bar and ignores errors of the bar.
type counted struct {
	io.Reader
	bar *progressbar.ProgressBar
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	_ = c.bar.Add(n)
	return n, err
}

// say prints a line above the bar.
func (p *progress) say(format string, args ...any) {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	fmt.Fprintf(p.out, format+"\n", args...)
}

// show reports the number of rows that are done.
func (p *progress) show(rows int, summary string) {
	if p.bar != nil {
		p.bar.Describe(summary)
		return
	}
	if rows >= p.next {
		p.say("%d rows: %s", rows, summary)
		p.next = rows - rows%progressEvery + progressEvery
	}
}

// end removes the bar.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
		_ = p.bar.Exit()
	}
}
