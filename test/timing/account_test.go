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

func TestTheTimeOfARequestForAResetTellsNothing(t *testing.T) {
	s := newTarget(t, plain)
	if all := measureResets(s); all.verdict() != "" {
		t.Errorf("the time of a request tells of the account: %s\n%s", all.verdict(), all)
	}
}

// TestARequestForAResetThatTakesLongerIsFound holds the test above to what it is for: the answer may not wait for
// more than its least time where there is an account.
func TestARequestForAResetThatTakesLongerIsFound(t *testing.T) {
	s := newTarget(t, func(store user.Store) user.Store { return slowForSomebody{store} })
	if all := measureResets(s); all.verdict() == "" {
		t.Errorf("nothing is found in a service that takes longer for an account:\n%s", all)
	}
}

// slowForSomebody looks for an account for 8 % longer than an answer takes at least, if there is one.
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
	request := func(kind, email string) probe {
		body := func() string { return fmt.Sprintf(`{"email": %q}`, email) }
		return probe{kind, "/password-reset", body, http.StatusAccepted}
	}
	return s.measure(rounds{least: 5, limit: *limit, tries: 4}, []probe{
		request("account", "known@example.com"),
		request("unknown email", "unknown@example.com"),
		request("disabled account", "disabled@example.com"),
	}, func() { s.sql(`TRUNCATE one_time_tokens, token_mailboxes`) }) // or soon no more are sent
}

// The answer to a registration says by contract whether the email is taken, so that its time need not
// hide it, and does not quite: nothing is stored for a taken one. But the password is hashed
// for it as well. So a search for emails costs whoever searches as much as making accounts.
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
		t.Errorf("a taken email is found out at a discount: %s", all)
	}
}
