package password

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
)

// Prefix returns what comes before the key in a stored hash: its format, its costs and its salt, which no other hash has.
func Prefix(hash string) string {
	if isBcrypt(hash) {
		return hash[:min(bcryptKeyAt, len(hash))]
	}
	return hash[:strings.LastIndexByte(hash, '$')+1]
}

// Count is how many accounts have hashes of a cost. A cost is the beginning of a hash up to its salt, without the
// dollar sign before that.
type Count struct {
	Came     string // the cost of the hashes with which the accounts were imported; empty: not imported
	Now      string // the cost of their hashes; empty: today's
	Accounts int64
}

// leastShare is the part of all accounts that a cost must have at least. What fewer have is not hidden.
const leastShare = 0.01

// costs are what the checks of accounts cost that do not exist: in the proportion of those that do.
//
// Each of them has a cost with which it might have been imported, in the proportion of the imports, and a place
// among those. It costs so while its place is below the part that still does. So its cost changes as that of an
// account does, from the imported one to today's: the first proportion stays when hashes are replaced, and
// the second one only falls.
type costs []cost

type cost struct {
	upTo  float64 // of the first place of the next cost
	still float64 // the part that still costs so
	hash  string  // which no password matches
}

// pick returns the hash of the account that does not exist with this number, or "" for one of today's cost.
func (c costs) pick(number uint64) string {
	const all = 1 << 32
	came, place := float64(number>>32)/all, float64(number%all)/all
	for _, cost := range c {
		if came < cost.upTo {
			if place < cost.still {
				return cost.hash
			}
			break
		}
	}
	return ""
}

// SetCosts says which hashes the accounts have, as far as they were imported. From then on an account that does not exist costs the work of one of those.
func (h *Hasher) SetCosts(counts []Count) {
	came, now, hashes := make(map[string]float64), make(map[string]float64), make(map[string]string)
	var total, imported float64
	for _, c := range counts {
		n := float64(c.Accounts)
		total += n
		is := h.costOf(c.Now, hashes)
		now[is] += n
		if is == "" { // replaced, or always of today
			is = h.costOf(c.Came, hashes)
		}
		came[is] += n
		if is != "" {
			imported += n
		}
	}
	var all costs
	var sum float64
	for _, name := range slices.Sorted(maps.Keys(hashes)) {
		sum += came[name]
		part := cost{upTo: sum / imported, hash: hashes[name]}
		if of := now[name] / total; of >= leastShare {
			part.still = of * imported / came[name]
		}
		all = append(all, part)
	}
	h.costs.Store(&all)
}

// costOf returns the cost of hashes that begin so, and keeps one of them. It is empty for today's cost and
// for hashes that are not taken, whose check costs as much.
func (h *Hasher) costOf(beginning string, hashes map[string]string) string {
	text := dummyHash(beginning)
	hash, err := h.parse(text)
	if err != nil || hash.cost() == h.nothing.cost() {
		return ""
	}
	hashes[hash.cost()] = cmp.Or(hashes[hash.cost()], text)
	return hash.cost()
}

// dummyHash returns a hash that begins so and that no password matches. It is none of a format that is not known.
func dummyHash(beginning string) string {
	salt, key := make([]byte, saltBytes), make([]byte, keyBytes)
	_, _ = rand.Read(salt) // never fails: crypto/rand would end the program
	_, _ = rand.Read(key)
	switch {
	case isBcrypt(beginning + "$"):
		const bcryptKeyBytes = 23
		return beginning + "$" + bcryptBase64.EncodeToString(salt) + bcryptBase64.EncodeToString(key[:bcryptKeyBytes])
	case strings.HasPrefix(beginning, djangoPrefix):
		return beginning + "$" + base64.RawURLEncoding.EncodeToString(salt) + "$" + base64.StdEncoding.EncodeToString(key)
	default:
		encoding := base64.RawStdEncoding
		text := beginning + "$" + encoding.EncodeToString(salt) + "$" + encoding.EncodeToString(key)
		if strings.HasPrefix(beginning, passlibPrefix) {
			return strings.ReplaceAll(text, "+", ".")
		}
		return text
	}
}
