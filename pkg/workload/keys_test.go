package workload

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/google/go-cmp/cmp"
)

// TestKeysAreFetchedEveryFiveMinutes runs for 20 minutes. During a failure, the keys are fetched every 10 seconds.
func TestKeysAreFetchedEveryFiveMinutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var at []time.Duration
		k := newKeys(Config{Log: New(Config{}).cfg.Log, Observer: noopObserver{}})
		k.fetch = func(context.Context) (jwkset.Storage, error) {
			at = append(at, time.Since(began))
			if n := len(at); n == 3 || n == 4 {
				return nil, errors.New("down")
			}
			return jwkset.NewMemoryStorage(), nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
		defer cancel()
		k.run(ctx)
		synctest.Wait()
		want := []time.Duration{
			0, 5 * time.Minute, 10 * time.Minute, 10*time.Minute + 10*time.Second, 10*time.Minute + 20*time.Second,
			15*time.Minute + 20*time.Second,
		}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Errorf("the times of the fetches differ (-want +got):\n%s", diff)
		}
	})
}

// TestTheEndDoesNotWaitForAFetch ends run while a fetch hangs.
func TestTheEndDoesNotWaitForAFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newKeys(Config{Log: New(Config{}).cfg.Log, Observer: noopObserver{}})
		fetched := make(chan struct{})
		k.fetch = func(ctx context.Context) (jwkset.Storage, error) {
			<-ctx.Done()
			close(fetched)
			return nil, ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		k.run(ctx)
		if took := time.Since(began); took != time.Second {
			t.Errorf("run ended after %s, want 1s", took)
		}
		<-fetched // after fetchTimeout
	})
}
