package factor

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// Limits of a login challenge.
const (
	ChallengeTTL   = 5 * time.Minute
	MaxTries       = 5
	challengeBytes = 32
)

// ChallengeHash is the SHA-256 of a login challenge. Only the hash is stored. A challenge has 256 random bits, so the hash needs no salt.
type ChallengeHash [sha256.Size]byte

// NewChallenge returns a random challenge and its hash.
func NewChallenge() (challenge string, hash ChallengeHash) {
	raw := make([]byte, challengeBytes)
	_, _ = rand.Read(raw) // never fails: crypto/rand would end the program
	challenge = base64.RawURLEncoding.EncodeToString(raw)
	return challenge, HashChallenge(challenge)
}

// HashChallenge returns the hash of a challenge.
func HashChallenge(challenge string) ChallengeHash { return sha256.Sum256([]byte(challenge)) }
