package postgres_test

import (
	"net/url"
	"strings"
	"sync"
	"testing"

	"user-service/internal/testkit"
	"user-service/pkg/postgres/postgrestest"
)

// TestARotatedPasswordIsUsed changes the password first on the server and then in the URL, while queries run. No query may fail.
func TestARotatedPasswordIsUsed(t *testing.T) {
	t.Parallel()
	role := postgrestest.NewRole(t, "old")
	dsn := postgrestest.URL(t)
	role.Use(dsn)
	db := postgrestest.Connect(t, role.URL(dsn, "old"), nil)
	if _, err := db.Roles(t.Context()); err != nil { // opens a connection with the old password
		t.Fatal(err)
	}
	done := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		for asked := 0; ; asked++ {
			if _, err := db.Roles(t.Context()); err != nil {
				t.Errorf("query %d fails during the rotation: %v", asked, err)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for _, password := range []string{"new", "newer", "newest"} {
		role.SetPassword(password)
		made := db.Stat().NewConnsCount()
		if err := db.SetURL(t.Context(), role.URL(dsn, password)); err != nil {
			t.Error(err)
		}
		testkit.WaitFor(t, "a new connection", func() bool { return db.Stat().NewConnsCount() != made })
	}
	close(done)
	asking.Wait()
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("the probe fails after the rotation: %v", err)
	}
}

func TestAURLThatDoesNotWorkIsNotUsed(t *testing.T) {
	t.Parallel()
	role := postgrestest.NewRole(t, "good")
	dsn := postgrestest.URL(t)
	role.Use(dsn)
	good := role.URL(dsn, "good")
	db := postgrestest.Connect(t, good, nil)
	elsewhere, err := url.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere.Host = "127.0.0.1:1"
	for bad, want := range map[string]string{
		role.URL(dsn, "planted"):                        "is refused by the server with the code 28P01",
		strings.Replace(good, "/test_", "/planted_", 1): "is refused by the server with the code ",
		elsewhere.String():                              "leads to no server that answers",
		"postgres://planted%":                           "can't be parsed",
	} {
		err := db.SetURL(t.Context(), bad)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %s", err, want)
		} else if strings.Contains(err.Error(), "planted") || strings.Contains(err.Error(), elsewhere.Host) {
			t.Errorf("the error contains a part of the URL: %v", err)
		}
		db.Reset() // the next query needs a new connection
		if _, err := db.Roles(t.Context()); err != nil {
			t.Errorf("a query after the error %q: %v, want success", want, err)
		}
		if err := db.Ping(t.Context()); err != nil {
			t.Errorf("the probe after the error %q: %v, want success", want, err)
		}
	}
}
