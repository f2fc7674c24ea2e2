package password

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// largeKiB is from where on the memory of a hash is worth a collection.
const largeKiB = 4 << 10

// reclaim makes the memory of a hash that has been computed free for the next one. The collector by
// itself lets the heap double first, so that twice as many hashes would lie in memory as run.
//
// What is free may have been cut up meanwhile, so that the next hash does not fit in there. From one and a half times
// the memory of a hash on, all that is free goes back to the system.
func reclaim(kib uint32) {
	if kib < largeKiB {
		return
	}
	runtime.GC()
	free := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(free)
	if free[0].Value.Kind() == metrics.KindUint64 && free[0].Value.Uint64() > 3*uint64(kib)<<9 {
		debug.FreeOSMemory()
	}
}
