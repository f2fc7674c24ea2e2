package password

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Params are the costs of argon2id (RFC 9106).
type Params struct {
	MemoryKiB   uint32
	Iterations  uint32
	Parallelism uint8
}

// Bounds of what is read from a stored hash, so that a planted one can't cost more
// than a login may.
const (
	maxMemoryKiB   = 1 << 20 // 1 GiB
	maxIterations  = 64
	maxParallelism = 64
)

// check refuses costs that argon2 does not allow or that are out of bounds.
func (p Params) check() error {
	switch {
	case p.Parallelism < 1 || p.Parallelism > maxParallelism:
		return fmt.Errorf("argon2 parallelism must be from 1 to %d", maxParallelism)
	case p.Iterations < 1 || p.Iterations > maxIterations:
		return fmt.Errorf("argon2 iterations must be from 1 to %d", maxIterations)
	case p.MemoryKiB < 8*uint32(p.Parallelism) || p.MemoryKiB > maxMemoryKiB: // RFC 9106 section 3.1
		return fmt.Errorf("argon2 memory must be from 8 KiB for each lane to %d KiB", maxMemoryKiB)
	}
	return nil
}

const (
	saltBytes = 16 // RFC 9106 section 3.1
	keyBytes  = 32
)

// hash is an argon2id hash as it is stored.
type hash struct {
	Params
	salt []byte
	key  []byte
}

// derive computes the key of a password by the hash's parameters and salt.
func (h hash) derive(password []byte) []byte {
	//nolint:gosec // the length of a key is from 16 to 64
	return argon2.IDKey(password, h.salt, h.Iterations, h.MemoryKiB, h.Parallelism, uint32(len(h.key)))
}

var errPHC = errors.New("not a PHC string of argon2id version 19")

// String formats the hash as a PHC string: $argon2id$v=19$m=…,t=…,p=…$salt$key.
func (h hash) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		h.MemoryKiB, h.Iterations, h.Parallelism, b64.EncodeToString(h.salt), b64.EncodeToString(h.key))
}

// parse reads a PHC string. Only the canonical form is taken: what String would write.
func parse(phc string) (hash, error) {
	fields := strings.Split(phc, "$")
	if len(fields) != 6 || len(phc) > 512 {
		return hash{}, errPHC
	}
	var h hash
	var err error
	if _, err = fmt.Sscanf(fields[3], "m=%d,t=%d,p=%d", &h.MemoryKiB, &h.Iterations, &h.Parallelism); err != nil {
		return hash{}, errPHC
	}
	b64 := base64.RawStdEncoding.Strict()
	if h.salt, err = b64.DecodeString(fields[4]); err != nil || len(h.salt) < 8 || len(h.salt) > 64 {
		return hash{}, errPHC
	}
	if h.key, err = b64.DecodeString(fields[5]); err != nil || len(h.key) < 16 || len(h.key) > 64 {
		return hash{}, errPHC
	}
	if h.String() != phc {
		return hash{}, errPHC
	}
	return h, h.check()
}
