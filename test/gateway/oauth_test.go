package gateway_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"user-service/internal/testkit"
)

// introspection is a response of /introspect.
type introspection struct {
	Active    bool
	TokenType string `json:"token_type"`
	Sub, Iss  string
}

// responses is the output of a program: the introspections before and after the revocation.
type responses struct{ Before, After []introspection }

// TestClientsOfOAuthIntrospectAndRevoke runs two programs, each with another library for OAuth. They find the endpoints by the metadata,
// introspect both tokens of a session, revoke the refresh token, and introspect both again.
func TestClientsOfOAuthIntrospectAndRevoke(t *testing.T) {
	t.Parallel()
	address := testkit.FreeAddress(t)
	url := "http://" + address
	s, v := startService(t, "HTTP_ADDR="+address, "JWT_ISSUER="+url), newVerifier(t)
	s.put(s.logIn("admin"), "/roles/resource-server", map[string]any{"permissions": []string{"tokens:introspect"}})
	caller := s.logIn("resource-server")
	for _, library := range []string{"oauth4webapi", "openid-client"} {
		user := s.logIn("user")
		printed, failure := v.run("oauth.mjs", user.token+"\n"+user.refresh, url, caller.token, library)
		var got responses
		if err := json.Unmarshal([]byte(printed), &got); err != nil {
			t.Fatalf("%s prints %q, %s", library, printed, failure)
		}
		want := responses{
			Before: []introspection{{true, "Bearer", user.id, url}, {true, "N_A", user.id, url}}, After: []introspection{{}, {}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the responses (-want +got): %s", library, diff)
		}
	}
}
