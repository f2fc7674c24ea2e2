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

// statusOf returns the status of the API's response to an error: "500", "503", or the Code of another user.Error.
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

// TestEachErrorCodeOfTheServerHasAStatus checks the status for each error code of PostgreSQL 15, and for each code that newer versions
// have added.
func TestEachErrorCodeOfTheServerHasAStatus(t *testing.T) {
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
				t.Errorf("%s (%s) gives %s, want %s: %v", code, name, got, want, err)
			}
		}
	}
	if len(listed) < 250 {
		t.Fatalf("the list has %d codes, want at least 250", len(listed))
	}
	for code := range codes {
		if !listed[code] {
			t.Errorf("the table has the code %s, which is not in the list", code)
		}
	}
	checkInstalled(t, listed)
}

// checkInstalled compares the list with the codes of each installed PostgreSQL.
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
				t.Errorf("%s has the code %s, which is not in the list", file, found[1])
			}
		}
	}
}

// TestEachErrorOfTheDriverHasAStatus checks the status for errors of the driver that have no error code of PostgreSQL, and for special
// cases of error codes.
func TestEachErrorOfTheDriverHasAStatus(t *testing.T) {
	t.Parallel()
	stale := &pgconn.PgError{Code: "0A000", Routine: "RevalidateCachedQuery"}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"no rows":                         {pgx.ErrNoRows, string(user.NotFound)},
		"a cached plan after a migration": {stale, "503"},
		"a code that is too short":        {&pgconn.PgError{Code: "5"}, "500"},
		"a failure to connect":            {&pgconn.ConnectError{}, "503"},
		"a deadline":                      {context.DeadlineExceeded, "503"},
		"a reset connection":              {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, "503"},
		"a closed connection":             {net.ErrClosed, "503"},
		"a closed connection of pgx":      {pgconn.ErrConnClosed, "503"},
		"the end of the stream":           {io.EOF, "503"},
		"the end within a message":        {io.ErrUnexpectedEOF, "503"},
		"an invalid TLS record":           {tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, "503"},
		"a TLS alert":                     {tls.AlertError(20), "503"},
		"a closed pool":                   {puddle.ErrClosedPool, "503"},
		"an error of a lost connection":   {&lostError{err: errors.New("unknown message type: X")}, "503"},
		"an unknown CA, when connected":   {x509.UnknownAuthorityError{}, "500"},
		"a value that can't be scanned":   {pgx.ScanArgError{Err: errors.New("cannot scan")}, "500"},
		"a commit that rolled back":       {pgx.ErrTxCommitRollback, "500"},
	} {
		if got := statusOf(wrap("do something", fmt.Errorf("wrapped: %w", c.err))); got != c.want {
			t.Errorf("%s gives %s, want %s", name, got, c.want)
		}
	}
}
