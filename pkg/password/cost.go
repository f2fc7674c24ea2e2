package password

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
)

// Prefix returns the part of a stored hash before its key: the format, the costs and the salt. The salt makes this prefix unique.
func Prefix(hash string) string {
	if isBcrypt(hash) {
		return hash[:min(bcryptKeyAt, len(hash))]
	}
	return hash[:strings.LastIndexByte(hash, '$')+1]
}

// Count is the number of accounts whose hashes have a cost. A cost is written as the part of a hash before the salt, without the dollar
// sign at the end.
type Count struct {
	Imported string // The cost of the imported hashes. Empty: not imported.
	Current  string // The cost of the current hashes. Empty: the cost of new hashes.
	Accounts int64
}

// minShare is the share of all accounts that must have a cost for unknown accounts to imitate this cost.
const minShare = 0.01

// costs determine what it costs to verify a password for an unknown account. Unknown accounts have the same distribution of costs as
// existing accounts.
//
// The number of an unknown account selects one of these costs and a position between 0 and 1. The probability of a cost is its share of
// the imported hashes. Of the hashes with this cost, a share is not yet replaced. The account has the selected cost while its position is
// below this share. After that, the account has the cost of new hashes. So the cost of an unknown account changes like the cost of an
// existing account. When a hash is replaced, the selected cost stays the same, and only the share becomes lower.
type costs []cost

type cost struct {
	end       float64 // The sum of the shares of imported accounts with this cost and the costs before it.
	remaining float64 // The share of the hashes with this cost that are not yet replaced.
	hash      string  // Matches no password.
}

// pick returns the dummy hash for the account with this number, or "" for the cost of new hashes.
func (c costs) pick(number uint64) string {
	const all = 1 << 32
	share, position := float64(number>>32)/all, float64(number%all)/all
	for _, cost := range c {
		if share < cost.end {
			if position < cost.remaining {
				return cost.hash
			}
			break
		}
	}
	return ""
}

// SetCosts sets the costs of the stored hashes. From then on, Verify has one of these costs for an account that does not exist.
func (h *Hasher) SetCosts(counts []Count) {
	imported, current, hashes := make(map[string]float64), make(map[string]float64), make(map[string]string)
	var total, totalImported float64
	for _, c := range counts {
		n := float64(c.Accounts)
		total += n
		name := h.addCost(c.Current, hashes)
		current[name] += n
		if name == "" { // the hash was replaced, or never imported
			name = h.addCost(c.Imported, hashes)
		}
		imported[name] += n
		if name != "" {
			totalImported += n
		}
	}
	var all costs
	var sum float64
	for _, name := range slices.Sorted(maps.Keys(hashes)) {
		sum += imported[name]
		c := cost{end: sum / totalImported, hash: hashes[name]}
		if share := current[name] / total; share >= minShare {
			c.remaining = share * totalImported / imported[name]
		}
		all = append(all, c)
	}
	h.costs.Store(&all)
}

// addCost returns the name of the cost of hashes with this prefix, and adds a dummy hash of this cost. The name is empty if the cost is
// the cost of new hashes. It is also empty for an invalid prefix, because Verify of an invalid hash costs the same as a new hash.
func (h *Hasher) addCost(prefix string, hashes map[string]string) string {
	text := dummyHash(prefix)
	hash, err := h.parse(text)
	if err != nil || hash.cost() == h.dummy.cost() {
		return ""
	}
	hashes[hash.cost()] = cmp.Or(hashes[hash.cost()], text)
	return hash.cost()
}

// dummyHash returns a hash with this prefix that no password matches. For an unknown format the result is not a valid hash.
func dummyHash(prefix string) string {
	salt, key := make([]byte, saltBytes), make([]byte, keyBytes)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	_, _ = rand.Read(key)
	switch {
	case isBcrypt(prefix + "$"):
		const bcryptKeyBytes = 23
		return prefix + "$" + bcryptBase64.EncodeToString(salt) + bcryptBase64.EncodeToString(key[:bcryptKeyBytes])
	case strings.HasPrefix(prefix, djangoPrefix):
		return prefix + "$" + base64.RawURLEncoding.EncodeToString(salt) + "$" + base64.StdEncoding.EncodeToString(key)
	default:
		encoding := base64.RawStdEncoding
		text := prefix + "$" + encoding.EncodeToString(salt) + "$" + encoding.EncodeToString(key)
		if strings.HasPrefix(prefix, passlibPrefix) {
			return strings.ReplaceAll(text, "+", ".")
		}
		return text
	}
}
