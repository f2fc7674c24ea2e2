package password

import "runtime"

// largeKiB is the minimum memory of a hash after which a garbage collection is worth its cost, in KiB.
const largeKiB = 4 << 10

// reclaim frees the memory of a computed hash for the next one. Without reclaim, the heap would double before each garbage collection. It
// would then hold the memory of twice as many hashes as are computed concurrently.
func reclaim(kib uint32) {
	if kib >= largeKiB {
		runtime.GC()
	}
}
