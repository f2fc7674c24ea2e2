package password

import "runtime"

const (
	// largeKiB is the minimum memory of a hash after which a garbage collection is worth its cost, in KiB.
	largeKiB = 4 << 10
	// reusedKiB is the maximum memory of a hash whose memory the next hash can reuse without a garbage collection, in KiB.
	reusedKiB = 24 << 10
)

// collect frees memory for a hash that needs kib, and the function that it returns frees the memory of the hash. Without collect, the heap
// would double before each garbage collection. It would then hold the memory of twice as many hashes as are computed concurrently.
//
// With reuse, garbage collections by the memory limit of the process suffice for hashes up to reusedKiB. A collection after each hash makes
// Go return the memory to the system. Then the next hash waits for new pages, which takes a tenth of its CPU time.
func (p inProcess) collect(kib uint32) (done func()) {
	switch {
	case kib < largeKiB, p.reuse && kib <= reusedKiB:
		return func() {}
	case p.reuse: // the garbage of smaller hashes
		runtime.GC()
	}
	return runtime.GC
}
