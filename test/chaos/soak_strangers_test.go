//go:build soak

package chaos_test

import (
	"context"

	"github.com/jackc/pgx/v5"

	"user-service/test/chaos/history"
)

// eraseStrangers erases the accounts that no client uses. Their registration or erasure had no response, and the client continued with
// another account. Without these erasures, the number of accounts would grow with each fault.
func (s *soak) eraseStrangers(ctx context.Context) {
	used := s.used()
	var strangers []*person
	err := s.admin(ctx, func(conn *pgx.Conn) error {
		// A client may not know yet that its registration was accepted.
		rows, err := conn.Query(ctx, `SELECT id::text, email FROM users WHERE created_at < now() - interval '30 seconds'`)
		if err != nil {
			return err
		}
		strangers, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*person, error) {
			p := &person{}
			return p, row.Scan(&p.id, &p.email)
		})
		return err
	})
	if err != nil {
		s.t.Errorf("list the accounts: %v", err)
		return
	}
	c := s.newClient(clientCount + 3)
	defer c.http.CloseIdleConnections()
	for _, p := range strangers {
		if !used[p.id] {
			c.asAdmin(p, op(history.Erase, p, history.Want{}), call{method: "DELETE", path: "/users/" + p.id})
		}
	}
}

// used returns the accounts that a client uses, and the accounts that no client created.
func (s *soak) used() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := map[string]bool{}
	for _, o := range s.ops {
		switch {
		case o.Kind == history.Register && o.Outcome == history.Accepted:
			used[o.User] = true
		case o.Kind == history.Erase && o.Outcome != history.Refused:
			delete(used, o.User)
		}
	}
	for id := range s.given {
		used[id] = true
	}
	return used
}
