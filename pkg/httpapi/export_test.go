package httpapi

// MaxBodies is the bound of bytes of bodies, for tests from outside.
const MaxBodies = maxBodies
