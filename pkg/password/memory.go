package password

import "runtime"

// largeKiB is from where on the memory of a hash is worth a collection.
const largeKiB = 4 << 10

// reclaim makes the memory of a hash that has been computed free for the next one. The collector by
// itself lets the heap double first, so that twice as many hashes would lie in memory as run.
func reclaim(kib uint32) {
	if kib >= largeKiB {
		runtime.GC()
	}
}
