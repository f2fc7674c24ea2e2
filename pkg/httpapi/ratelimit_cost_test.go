package httpapi

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

// address returns the i-th of many addresses. No two of them are in the same /48.
func address(i int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i), 15: 1})
}

// one is a limiter of addresses and their networks.
type one struct {
	*limiter[netip.Prefix]
	limits addressLimits
}

func newOne(perMinute int) one {
	return one{newLimiter[netip.Prefix](), newAddressLimits("", perMinute)}
}

func (o one) take(addr netip.Addr) time.Duration {
	_, wait := o.limiter.take(1, o.limits.keys(addr)...)
	return wait
}

// TestMemoryIsBounded checks the memory of the limiter after requests from many addresses. The test is not parallel, because it measures
// the heap.
func TestMemoryIsBounded(t *testing.T) {
	before := heap()
	l := newOne(1)
	l.stop()
	mine := netip.MustParseAddr("203.0.113.1")
	l.take(mine)
	for i := range 100_000 {
		l.take(address(i))
		if i%1000 == 0 && l.take(mine) == 0 {
			t.Fatalf("after %d other addresses the quota of a busy address starts over, want it used up", i)
		}
	}
	grown := heap() - before
	t.Logf("%d buckets use %d bytes: %d each", l.buckets.Len(), grown, grown/int64(l.buckets.Len()))
	if l.buckets.Len() != maxTokenBuckets || grown > 8<<20 {
		t.Errorf("after 100000 addresses %d buckets use %d bytes, want %d buckets in at most %d bytes",
			l.buckets.Len(), grown, maxTokenBuckets, 8<<20)
	}
	if l.take(address(99_999)) == 0 {
		t.Error("the quota of the newest address starts over, want it used up")
	}
	if l.take(address(0)) != 0 {
		t.Error("the quota of the oldest address is still used up, want it evicted")
	}
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// BenchmarkLimiterRefuses measures a refusal by a limiter with nearly the maximum number of token buckets.
func BenchmarkLimiterRefuses(b *testing.B) {
	l := newOne(1)
	const clients = maxTokenBuckets / 3
	for i := range clients {
		l.take(address(i))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.take(address(i % clients))
	}
}

// BenchmarkRefusedRequest measures a whole refused request without the network.
func BenchmarkRefusedRequest(b *testing.B) {
	api := limited(1, &counter{}).Handler()
	r := httptest.NewRequest("POST", "/login", http.NoBody)
	b.ReportAllocs()
	for b.Loop() {
		api.ServeHTTP(silent{http.Header{}}, r)
	}
}

// silent is an http.ResponseWriter that discards the response.
type silent struct{ header http.Header }

func (s silent) Header() http.Header         { return s.header }
func (s silent) Write(p []byte) (int, error) { return io.Discard.Write(p) }
func (s silent) WriteHeader(int)             {}
