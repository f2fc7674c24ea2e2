package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"user-service/test/chaos/history"
)

// secretFaults change the files of secrets.
var secretFaults = []fault{{
	kind: "secrets rotated", lane: rotatedSecrets, least: 0, most: 0,
	means: history.Fault{Secrets: true},
	inject: func(_ context.Context, r *rig, _ step, f *history.Fault) error {
		f.Detail = "the key of tokens, which was accepted before, and the database's URL"
		return r.secrets.rotate()
	},
}}

// rotationTime covers reading the files again, and the lifetime of what the replicas sign in the meantime.
const rotationTime = 20 * time.Second

// secretFiles are the files from which the replicas read their secrets.
type secretFiles struct {
	dir     string
	keys    []string // token keys: the next one, which is accepted, the current one, and older ones
	urls    [replicaCount]string
	turn    int
	rotated time.Time
}

// rotate makes the next key the current one, accepts a new next key, and changes the URLs of the database. Errors:
// errNotInjected until all replicas have read the files of the previous rotation.
func (s *secretFiles) rotate() error {
	if time.Since(s.rotated) < rotationTime {
		return fmt.Errorf("%w: the previous rotation is too recent", errNotInjected)
	}
	s.keys, s.rotated = append([]string{newSecret()}, s.keys...), time.Now()
	s.turn++
	return s.write()
}

// write replaces each file atomically.
func (s *secretFiles) write() error {
	files := map[string]string{"key": s.keys[1], "accepted": s.keys[0]}
	if older := s.keys[2:]; len(older) > 0 {
		files["accepted"] += "," + strings.Join(older, ",")
	}
	for i, url := range s.urls {
		files[urlFile(i)] = fmt.Sprintf("%s&pool_health_check_period=%ds", url, 60+s.turn)
	}
	for name, value := range files {
		draft := s.path(name) + ".new"
		if err := errors.Join(os.WriteFile(draft, []byte(value), 0o600), os.Rename(draft, s.path(name))); err != nil {
			return err
		}
	}
	return nil
}

func (s *secretFiles) path(name string) string { return filepath.Join(s.dir, name) }

func urlFile(replica int) string { return fmt.Sprintf("url%d", replica) }
