package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"user-service/pkg/user"
)

// statusOf returns what the API answers to an error.
func statusOf(err error) string {
	var known *user.Error
	switch {
	case !errors.As(err, &known):
		return "500"
	case known.Code == user.Unavailable && known.RetryAfter > 0:
		return "503"
	default:
		return fmt.Sprint(known.Code)
	}
}

// TestEachCodeOfTheServerHasItsAnswer goes through PostgreSQL's whole list of codes: that of version 15, and what newer ones have added.
func TestEachCodeOfTheServerHasItsAnswer(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("testdata/errcodes.txt")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line)
		code, want, name := fields[0], fields[1], fields[2]
		listed[code] = true
		for _, err := range []error{&pgconn.PgError{Code: code}, &lostError{err: fmt.Errorf("read: %w", &pgconn.PgError{Code: code})}} {
			if got := statusOf(wrap("do something", err)); got != want {
				t.Errorf("%s (%s): %s, want %s: %v", code, name, got, want, err)
			}
		}
	}
	if len(listed) < 250 {
		t.Fatalf("%d codes", len(listed))
	}
	for code := range codes {
		if !listed[code] {
			t.Errorf("the table has %s, which the list has not", code)
		}
	}
	checkInstalled(t, listed)
}

// checkInstalled looks for codes that an installed PostgreSQL knows and the list does not.
func checkInstalled(t *testing.T, listed map[string]bool) {
	t.Helper()
	files, err := filepath.Glob("/usr/share/postgresql*/*/errcodes.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`(?m)^([0-9A-Z]{5}) +[EWS] `).FindAllSubmatch(content, -1) {
			if !listed[string(found[1])] {
				t.Errorf("%s has %s, which the list has not", file, found[1])
			}
		}
	}
}

// TestEachErrorOfTheDriverHasItsAnswer has what no code of the server tells.
func TestEachErrorOfTheDriverHasItsAnswer(t *testing.T) {
	t.Parallel()
	stale := &pgconn.PgError{Code: "0A000", Routine: "RevalidateCachedQuery"}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"nothing found":                 {pgx.ErrNoRows, string(user.NotFound)},
		"a plan of before a migration":  {stale, "503"},
		"a code of two letters":         {&pgconn.PgError{Code: "5"}, "500"},
		"connecting":                    {&pgconn.ConnectError{}, "503"},
		"no time left":                  {context.DeadlineExceeded, "503"},
		"a reset":                       {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, "503"},
		"a connection that is closed":   {net.ErrClosed, "503"},
		"pgx's word for it":             {pgconn.ErrConnClosed, "503"},
		"the end of the stream":         {io.EOF, "503"},
		"the same in a message":         {io.ErrUnexpectedEOF, "503"},
		"no record of TLS":              {tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, "503"},
		"an alert of TLS":               {tls.AlertError(20), "503"},
		"a pool that is closed":         {puddle.ErrClosedPool, "503"},
		"what broke the connection":     {&lostError{err: errors.New("unknown message type: X")}, "503"},
		"a certificate, when connected": {x509.UnknownAuthorityError{}, "500"},
		"a value that can't be read":    {pgx.ScanArgError{Err: errors.New("cannot scan")}, "500"},
		"a commit that rolled back":     {pgx.ErrTxCommitRollback, "500"},
	} {
		if got := statusOf(wrap("do something", fmt.Errorf("wrapped: %w", c.err))); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
