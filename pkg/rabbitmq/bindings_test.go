package rabbitmq_test

import (
	"errors"
	"testing"

	"user-service/internal/testkit"
	"user-service/pkg/rabbitmq"
)

func TestABindingAcceptsTypes(t *testing.T) {
	t.Parallel()
	for key, types := range map[string]map[string]bool{
		"#":            {"user.created": true, "": true, "a.b.c": true},
		"user.#":       {"user.created": true, "user": true, "user.a.b": true, "users.created": false},
		"user.*":       {"user.created": true, "user": false, "user.a.b": false},
		"*.created":    {"user.created": true, "user.deleted": false, "created": false},
		"#.created":    {"user.created": true, "created": true, "a.b.created": true, "created.a": false},
		"user.created": {"user.created": true, "user.deleted": false},
		"#.a.#":        {"a": true, "b.a": true, "a.b": true, "b.a.b": true, "b": false},
		"":             {"": true, "user": false},
	} {
		for typ, want := range types {
			if got := (rabbitmq.Binding{Key: key}).Accepts(typ); got != want {
				t.Errorf("%q accepts %q: %t, want %t", key, typ, got, want)
			}
		}
	}
}

func TestWithoutTheManagementAPIBindingsAreUnknown(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"http://" + testkit.FreeAddress(t), "://", "http://127.0.0.1:0"} {
		if _, err := rabbitmq.Bindings(t.Context(), broker(t), base); !errors.Is(err, rabbitmq.ErrNoManagement) {
			t.Errorf("%s: %v, want %v", base, err, rabbitmq.ErrNoManagement)
		}
	}
}
