package chaos_test

import (
	"slices"
	"strconv"
	"testing"
)

// The judge is judged first: each breach of a promise is seen, and nothing else is.
func TestABrokenPromiseIsSeen(t *testing.T) {
	t.Parallel()
	ada := &account{id: "a", email: "ada@test", names: []string{"Ada", "Countess"}, deleted: true}
	good := []cloudEvent{
		told("1", "user.created", 1, user{"a", "ada@test", "Ada", 1}),
		told("2", "user.updated", 2, user{"a", "ada@test", "Countess", 2}),
		told("3", "user.deleted", 3, user{}),
	}
	stranger := told("9", "user.created", 1, user{"x", "eve@elsewhere", "Eve", 1})
	stranger.Subject = "x"
	ghost := told("8", "user.created", 1, user{"g", "ghost@test", "Ghost", 1})
	ghost.Subject = "g"

	for name, test := range map[string]struct {
		events []cloudEvent
		wrong  int
	}{
		"all as it should be":          {good, 0},
		"a duplicate":                  {[]cloudEvent{good[0], good[1], good[0], good[2], good[1]}, 0},
		"another test's event":         {append([]cloudEvent{stranger}, good...), 0},
		"an event that was dropped":    {[]cloudEvent{good[0], good[2]}, 0},
		"all but the deletion dropped": {good[2:], 0},
		"a lost event":                 {good[1:], 1},
		"a lost deletion":              {good[:2], 1},
		"another order":                {[]cloudEvent{good[1], good[0], good[2]}, 1},
		"one change, two ids":          {append(slices.Clone(good), told("4", "user.deleted", 3, user{})), 1},
		"a change that was refused":    {[]cloudEvent{good[0], told("2", "user.updated", 2, user{"a", "ada@test", "Stale", 2}), good[2]}, 1},
		"an account that was not made": {append([]cloudEvent{ghost}, good...), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if wrong := compare(test.events, []*account{ada}, "test"); len(wrong) != test.wrong {
				t.Errorf("found %d breaches, want %d: %q", len(wrong), test.wrong, wrong)
			}
		})
	}
}

func told(id, typ string, sequence int, about user) cloudEvent {
	e := cloudEvent{ID: id, Type: typ, Subject: "a", Sequence: strconv.Itoa(sequence)}
	e.Data.User = about
	return e
}
