package testkit_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"user-service/internal/testkit"
)

func TestAwaitHasALimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if testkit.Await(t.Context(), time.Second, func() bool { return false }) {
			t.Error("a false condition is reported as true")
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %s, want 1s", took)
		}
		ready := began.Add(3 * time.Second)
		if !testkit.Await(t.Context(), time.Minute, func() bool { return !time.Now().Before(ready) }) {
			t.Error("a condition that became true is reported as false")
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if testkit.Await(ended, time.Minute, func() bool { return false }) {
			t.Error("Await does not end with its context")
		}
	})
}

func TestFreeAddressesAreFreeAndDiffer(t *testing.T) {
	t.Parallel()
	given := map[string]bool{}
	for range 200 {
		addr := testkit.FreeAddress(t)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		if given[addr] {
			t.Errorf("FreeAddress returns %s twice, want different addresses", addr)
		}
		given[addr] = true
	}
}

func TestBufferTail(t *testing.T) {
	t.Parallel()
	var b testkit.Buffer
	for _, line := range []string{"one\n", "two\n", "three\n"} {
		_, _ = b.Write([]byte(line))
	}
	if b.Tail(2) != "two\nthree" || b.Tail(9) != "one\ntwo\nthree" || b.String() != "one\ntwo\nthree\n" {
		t.Errorf("the last two lines are %q, all are %q", b.Tail(2), b.String())
	}
}
