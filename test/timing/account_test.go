package timing_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

func TestTheTimeOfARequestForAResetTellsNothing(t *testing.T) {
	s := newTarget(t, plain)
	s.account("known@example.com")
	s.disabled("disabled@example.com")
	request := func(kind, email string) probe {
		body := func() string { return fmt.Sprintf(`{"email": %q}`, email) }
		return probe{kind, "/password-reset", body, http.StatusAccepted}
	}
	all := s.measure(rounds{least: 15, limit: 5 * time.Second, tries: 1}, []probe{
		request("account", "known@example.com"),
		request("unknown email", "unknown@example.com"),
		request("disabled account", "disabled@example.com"),
	}, func() { s.sql(`DELETE FROM one_time_tokens`) }) // or soon no more are sent
	if all.apart {
		t.Errorf("the time of a request tells of the account:\n%s", all)
	}
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
	if all.ratios[0].high < 0.5 {
		t.Errorf("a taken email is found out at a discount: %s", all)
	}
}
