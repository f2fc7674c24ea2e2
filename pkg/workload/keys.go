package workload

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/semaphore"
)

const (
	// refreshInterval is the time between two fetches of the keys.
	refreshInterval = 5 * time.Minute
	// unknownKeyPause is the minimum time between two fetches for unknown keys, and the time between a failed fetch and the next.
	unknownKeyPause = 10 * time.Second
	// maxAge is how long known keys stay valid while they can't be fetched again.
	maxAge = 24 * time.Hour
	// unknownKeyWait is how long a request with an unknown key waits for a fetch. It is shorter than the deadline of a request.
	unknownKeyWait = time.Second
	// maxWaiting is the maximum number of requests that wait for a fetch. Further requests do not wait.
	maxWaiting = 64
	// minRSABits is the minimum size of an RSA key (RFC 7518 section 3.3).
	minRSABits = 2048
)

// errNoKeys means that a key can't be looked up, because fetching the issuer's keys fails or takes too long.
var errNoKeys = errors.New("the keys of the issuer can't be fetched")

// keys caches the keys of the issuer.
type keys struct {
	fetch func(context.Context) (jwkset.Storage, error)
	cfg   Config
	now   func() time.Time

	current atomic.Pointer[keySet]
	waiting *semaphore.Weighted

	mu      sync.Mutex
	running chan struct{} // closed at the end of the running fetch; nil while none runs
	began   time.Time     // when the last fetch began
	failed  bool          // the last fetch failed
}

// keySet is the result of one fetch.
type keySet struct {
	keyfunc.Keyfunc
	at time.Time
}

func newKeys(cfg Config) *keys {
	return &keys{fetch: fetcher(cfg).keys, cfg: cfg, now: time.Now, waiting: semaphore.NewWeighted(maxWaiting)}
}

// run does what Verifier.Run does.
func (k *keys) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.start(ctx, 0):
		}
		pause := refreshInterval
		if k.isFailing() {
			pause = unknownKeyPause
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// start begins a fetch, unless one runs already or the last one began less than pause ago. It returns the channel that is closed at the end
// of the running fetch, or nil if none runs.
func (k *keys) start(ctx context.Context, pause time.Duration) <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.running == nil && (k.began.IsZero() || k.now().Sub(k.began).Abs() >= pause) { // the clock may have been set back
		k.running, k.began = make(chan struct{}), k.now()
		go k.refresh(context.WithoutCancel(ctx)) // other requests wait for it
	}
	return k.running
}

// refresh fetches the keys, and closes the channel that start has returned.
func (k *keys) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	at := k.now()
	set, err := k.fetchSet(ctx)
	k.cfg.Observer.KeysFetched(err)
	if err == nil {
		k.current.Store(&keySet{Keyfunc: set, at: at})
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil && !k.failed {
		k.cfg.Log.WarnContext(ctx, "the keys of WORKLOAD_ISSUER can't be fetched; known keys stay valid for 24 hours", "error", err)
	} else if err == nil && k.failed {
		k.cfg.Log.InfoContext(ctx, "the keys of WORKLOAD_ISSUER can be fetched again")
	}
	k.failed = err != nil
	close(k.running)
	k.running = nil
}

func (k *keys) fetchSet(ctx context.Context) (keyfunc.Keyfunc, error) {
	set, err := k.fetch(ctx)
	if err != nil {
		return nil, err
	}
	return keyfunc.New(keyfunc.Options{Storage: set, UseWhitelist: []jwkset.USE{"", jwkset.UseSig}})
}

func (k *keys) isFailing() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failed
}

// find returns the key that the header of a token names. It refuses a token whose algorithm does not match the key, before the signature is
// verified. Errors: errNoKeys, and others for an invalid token.
func (k *keys) find(ctx context.Context, tok *jwt.Token) (any, error) {
	kid, err := checkHeader(tok)
	if err != nil {
		return nil, err
	}
	set, err := k.setWith(ctx, kid)
	if err != nil {
		return nil, err
	}
	key, err := set.KeyfuncCtx(ctx)(tok)
	if err != nil {
		return nil, err
	}
	return key, checkAlgorithm(set, kid, tok.Method.Alg(), key)
}

// checkHeader checks the header of a token and returns its kid. Kubernetes issues tokens without typ.
func checkHeader(tok *jwt.Token) (kid string, err error) {
	typ, _ := tok.Header["typ"].(string)
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	if !slices.Contains([]string{"", "jwt", "jose", "at+jwt"}, typ) {
		return "", errors.New("typ is not the type of an access token") // for example a logout token
	}
	if _, ok := tok.Header["crit"]; ok { // RFC 7515 section 4.1.11: no extension is supported
		return "", errors.New("critical extension")
	}
	if kid, _ = tok.Header["kid"].(string); kid == "" {
		return "", errors.New("no kid")
	}
	return kid, nil
}

// checkAlgorithm checks that the type of a key implies the algorithm of a token. If the key names an algorithm, keyfunc has compared it.
func checkAlgorithm(set *keySet, kid, alg string, key any) error {
	var implied string
	switch key := key.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < minRSABits {
			return fmt.Errorf("the RSA key has fewer than %d bits", minRSABits)
		}
		implied = "RS256"
	case *ecdsa.PublicKey:
		implied = map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[key.Curve.Params().BitSize]
	case ed25519.PublicKey:
		implied = "EdDSA"
	default:
		return fmt.Errorf("a key of the type %T is not supported", key)
	}
	jwk, err := set.Storage().KeyRead(context.Background(), kid)
	if err != nil {
		return err
	}
	if jwk.Marshal().ALG == "" && alg != implied {
		return errors.New("alg does not match the key")
	}
	return nil
}

// setWith returns the issuer's keys, including the key with this id. If the id is unknown, setWith fetches the keys again. Errors:
// errNoKeys, or another error if the issuer does not have the key.
func (k *keys) setWith(ctx context.Context, kid string) (*keySet, error) {
	set := k.valid()
	if set.has(kid) {
		return set, nil
	}
	complete := k.wait(ctx)
	if set = k.valid(); set.has(kid) {
		return set, nil
	}
	if set == nil || !complete || k.isFailing() {
		return nil, errNoKeys
	}
	return nil, errors.New("unknown kid")
}

// valid returns the current keys, or nil if there are none or they are too old.
func (k *keys) valid() *keySet {
	set := k.current.Load()
	if set == nil || k.now().Sub(set.at) > maxAge {
		return nil
	}
	return set
}

func (s *keySet) has(kid string) bool {
	if s == nil {
		return false
	}
	_, err := s.Storage().KeyRead(context.Background(), kid)
	return err == nil
}

// wait fetches the keys again, or waits for the fetch that runs. It returns false if that fetch does not end in time, or if too many
// requests wait. After a recent fetch, it returns true immediately.
func (k *keys) wait(ctx context.Context) bool {
	fetched := k.start(ctx, unknownKeyPause)
	if fetched == nil {
		return true
	}
	if !k.waiting.TryAcquire(1) {
		return false
	}
	defer k.waiting.Release(1)
	ctx, cancel := context.WithTimeout(ctx, unknownKeyWait)
	defer cancel()
	select {
	case <-fetched:
		return true
	case <-ctx.Done():
		return false
	}
}
