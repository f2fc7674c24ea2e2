package timing_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"user-service/internal/testkit"
	"user-service/pkg/user"
)

func TestTheTimeOfAResetRequestRevealsNothing(t *testing.T) {
	s := newTarget(t, plain)
	if all := measureResets(s); all.verdict() != "" {
		t.Errorf("the time of a request reveals the account: %s\n%s", all.verdict(), all)
	}
}

// TestAResetRequestThatTakesLongerIsFound checks TestTheTimeOfAResetRequestRevealsNothing. That test must fail for a service whose response
// exceeds the minimum response time only when the account exists.
func TestAResetRequestThatTakesLongerIsFound(t *testing.T) {
	s := newTarget(t, func(store user.Store) user.Store { return slowForSomebody{store} })
	if all := measureResets(s); all.verdict() == "" {
		t.Errorf("no difference is found in a service that takes longer for an account:\n%s", all)
	}
}

// slowForSomebody needs 8 % more than the minimum response time to find an account that exists.
type slowForSomebody struct{ user.Store }

func (s slowForSomebody) ActiveUserID(ctx context.Context, email string) (uuid.UUID, error) {
	id, err := s.Store.ActiveUserID(ctx, email)
	if id != uuid.Nil {
		testkit.Pause(ctx, 108*time.Millisecond)
	}
	return id, err
}

func measureResets(s *target) comparison {
	s.t.Helper()
	s.account("known@example.com")
	s.disabled("disabled@example.com")
	s.invited("invited@example.com")
	request := func(kind, email string) probe {
		body := func() string { return fmt.Sprintf(`{"email": %q}`, email) }
		return probe{kind, "/password-reset", body, http.StatusAccepted}
	}
	return s.measure(rounds{least: 5, limit: *limit, tries: 4}, []probe{
		request("account", "known@example.com"),
		request("unknown email", "unknown@example.com"),
		request("disabled account", "disabled@example.com"),
		request("no password", "invited@example.com"),
	}, func() { s.sql(`TRUNCATE one_time_tokens, token_mailboxes`) }) // otherwise the mail limit would soon drop resets
}

// By contract, the response to a registration says whether the email is taken, so the response time need not hide that. A taken email
// is slightly faster, because nothing is stored. But the service hashes the password in both cases, so that searching for emails costs
// as much as creating accounts.
func TestARegistrationOfATakenEmailIsNotCheap(t *testing.T) {
	s := newTarget(t, plain)
	s.account("taken@example.com")
	n := 0
	free := func() string {
		n++
		return credentials(fmt.Sprintf("free-%d@example.com", n), goodPassword)()
	}
	all := s.measure(rounds{least: 20, limit: 2 * time.Second, tries: 2}, []probe{
		{"free email", "/register", free, http.StatusCreated},
		{"taken email", "/register", credentials("taken@example.com", goodPassword), http.StatusConflict},
	}, func() {})
	if all.ratios[0].estimate < 0.5 {
		t.Errorf("searching for taken emails is cheap: %s", all)
	}
}
