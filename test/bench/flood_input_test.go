package bench_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkFloodOfLongPasswords sends passwords of 63 KB. They repeat one character, which NFKC expands to 18 characters.
func BenchmarkFloodOfLongPasswords(b *testing.B) {
	const rate = 49
	s := newSite(b, nil)
	token := s.register(b, "attacker", 1)[0].token
	body := fmt.Sprintf(`{"current_password": %q, "email": "a@b.co"}`, strings.Repeat("\uFDFA", 21000))
	s.measure(b, s.send(rate, []int{http.StatusUnprocessableEntity, http.StatusForbidden}, func(int) request {
		return change(token, body)
	}))
}
