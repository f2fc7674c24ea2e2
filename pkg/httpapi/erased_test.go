package httpapi_test

import (
	"errors"
	"testing"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// TestAnErasedCallerGetsInvalidAccessToken erases an account after a request of its user was authenticated. The rest of the request must
// fail as if the session had ended. A 404 would be wrong, because it describes the target and not the caller.
func TestAnErasedCallerGetsInvalidAccessToken(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.admin()
	for name, change := range map[string]func(user.Identity, access.Grant) error{
		"password": func(by user.Identity, grant access.Grant) error {
			_, err := s.users.ChangePassword(t.Context(), by, grant,
				user.NewPassword{Current: goodPassword, New: "nine violet anchors drift"})
			return err
		},
		"email": func(by user.Identity, grant access.Grant) error {
			edit := user.Replacement{Email: "new@example.com", CurrentPassword: goodPassword}
			_, err := s.users.Update(t.Context(), by, grant, edit, nil)
			return err
		},
		"name": func(by user.Identity, grant access.Grant) error {
			_, err := s.users.Update(t.Context(), by, grant,
				user.Replacement{Email: by.User.Email, Profile: user.Profile{Name: "Ada"}}, nil)
			return err
		},
		"verification": func(_ user.Identity, grant access.Grant) error {
			return s.users.RequestVerification(t.Context(), grant)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.register()
			claims, err := s.users.VerifyAccess(a.token)
			if err != nil {
				t.Fatal(err)
			}
			by, err := s.users.Identify(t.Context(), claims)
			if err != nil {
				t.Fatal(err)
			}
			s.call("DELETE", a.path(), nil, as(admin.token)).want(t, 204)
			var refused *user.Error
			if err := change(by, access.Self().Grant(by.Caller, a.ID)); !errors.As(err, &refused) ||
				refused.Code != user.InvalidAccessToken {
				t.Errorf("the error is %v, want the code %s", err, user.InvalidAccessToken)
			}
		})
	}
}
