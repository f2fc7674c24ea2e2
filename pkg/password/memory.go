package password

import "runtime"

// largeKiB is the least memory of a hash after which a garbage collection pays off.
const largeKiB = 4 << 10

// reclaim frees the memory of a computed hash for the next one. Without reclaim, the heap would double before a garbage collection, and
// hold the memory of twice as many hashes as are computed concurrently.
func reclaim(kib uint32) {
	if kib >= largeKiB {
		runtime.GC()
	}
}
