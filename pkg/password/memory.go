package password

import "runtime"

// largeKiB is the memory of a hash from which on a garbage collection pays off.
const largeKiB = 4 << 10

// reclaim frees the memory of a computed hash for the next one. Without it the heap doubles before a garbage collection, and holds
// twice as many hashes as are computed concurrently.
func reclaim(kib uint32) {
	if kib >= largeKiB {
		runtime.GC()
	}
}
