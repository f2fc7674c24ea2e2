package history

import (
	"slices"
	"testing"
	"time"
)

const (
	ms = time.Millisecond
	s  = time.Second
)

// ada returns a state of Ada's account.
func ada(version int, name string) *User {
	return &User{ID: "ada", Email: "ada@example.com", Name: name, Roles: []string{"user"}, Status: "active", Version: version}
}

// request returns an accepted request that lasts 10 ms.
func request(id int, kind Kind, at time.Duration, edit func(*Op)) Op {
	o := Op{ID: id, Kind: kind, User: "ada", Email: "ada@example.com", Start: at, End: at + 10*ms, Outcome: Accepted, Status: 200}
	edit(&o)
	return o
}

func event(id, typ string, op, sequence int, at time.Duration, u *User, changed ...string) Event {
	return Event{ID: id, Type: typ, Subject: "ada", Op: op, UserVersion: sequence, Time: at, User: u, Changed: changed, Body: id}
}

// good is a history without a violation: Ada registers, logs in, changes her name twice, refreshes twice, and changes her
// password.
func good() History {
	return History{
		Ops: []Op{
			request(1, Register, 1*s, func(o *Op) { o.Want = Want{Name: "Ada", Password: "one"}; o.Told = ada(1, "Ada") }),
			request(2, Login, 2*s, func(o *Op) { o.Want = Want{Password: "one"}; o.Session = "s1" }),
			request(3, Patch, 3*s, func(o *Op) { o.Want = Want{Name: "Countess"}; o.Told = ada(2, "Countess") }),
			request(4, Patch, 4*s, func(o *Op) { o.Want = Want{Name: "Lovelace"}; o.Told = ada(3, "Lovelace") }),
			request(5, Refresh, 5*s, func(o *Op) { o.Session, o.Shown, o.Got, o.GotToken = "s1", 0, 1, "s1.1" }),
			request(6, Refresh, 6*s, func(o *Op) { o.Session, o.Shown, o.Got, o.GotToken = "s1", 1, 2, "s1.2" }),
			request(7, Password, 7*s, func(o *Op) { o.Want = Want{Password: "two"}; o.Session = "s2" }),
			request(8, Read, 8*s, func(o *Op) { o.Told = ada(3, "Lovelace") }),
		},
		Deliveries: []Event{
			event("e1", userCreated, 1, 1, 1*s, ada(1, "Ada")),
			event("e2", loggedIn, 2, 1, 2*s, nil),
			event("e3", userUpdated, 3, 2, 3*s, ada(2, "Countess"), "name"),
			event("e4", userUpdated, 4, 3, 4*s, ada(3, "Lovelace"), "name"),
			event("e5", passwordChanged, 7, 3, 7*s, nil),
		},
		Samples: []Sample{{At: 20 * s}},
		Final: Final{
			Users:    []User{*ada(3, "Lovelace")},
			Sessions: []Session{{ID: "s2", User: "ada"}},
			Audit: []Entry{
				{"user_created", "ada", 1},
				{"authn_login_success", "ada", 2},
				{"user_updated", "ada", 3},
				{"user_updated", "ada", 4},
				{"authn_password_change", "ada", 7},
			},
		},
		Given: map[string]bool{},
	}
}

// erased is the history of good, followed by the erasure of Ada's account.
func erased() History {
	h := good()
	h.Ops = append(h.Ops, request(9, Erase, 9*s, func(*Op) {}))
	h.Deliveries = append(h.Deliveries, event("e9", userDeleted, 9, 4, 9*s, nil))
	h.Final = Final{Audit: append(h.Final.Audit, Entry{"user_deleted", "ada", 0})}
	return h
}

// rules returns the names of the rules that a history breaks.
func rules(h History) []string {
	var names []string
	for _, v := range Check(h) {
		names = append(names, v.Rule)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// broken is a history and the rules that it breaks.
type broken struct {
	from  func() History
	edit  func(*History)
	rules []string
}

func checkAll(t *testing.T, tests map[string]broken) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := test.from()
			test.edit(&h)
			if got := rules(h); !slices.Equal(got, test.rules) {
				t.Errorf("broken rules %q, want %q: %v", got, test.rules, Check(h))
			}
		})
	}
}

func op(h *History, id int) *Op {
	i := slices.IndexFunc(h.Ops, func(o Op) bool { return o.ID == id })
	return &h.Ops[i]
}

func drop(h *History, id string) {
	h.Deliveries = slices.DeleteFunc(h.Deliveries, func(e Event) bool { return e.ID == id })
}

// swap exchanges two deliveries.
func swap(i, j int) func(*History) {
	return func(h *History) { h.Deliveries[i], h.Deliveries[j] = h.Deliveries[j], h.Deliveries[i] }
}

func TestEventsAreChecked(t *testing.T) {
	t.Parallel()
	checkAll(t, map[string]broken{
		"no violation":           {good, func(*History) {}, nil},
		"no violation, erased":   {erased, func(*History) {}, nil},
		"an event is lost":       {good, func(h *History) { drop(h, "e3") }, []string{"audit", "nothing lost"}},
		"the last event is lost": {good, func(h *History) { drop(h, "e4") }, []string{"accounts", "audit", "nothing lost"}},
		"a queue dropped an event, and a later change changed nothing": {good, func(h *History) {
			drop(h, "e4")
			h.Faults = append(h.Faults, Fault{Kind: "queue deleted", Drops: true, Start: 3900 * ms, End: 5 * s})
			h.Ops = append(h.Ops, request(9, Patch, 9*s, func(o *Op) { o.Want = Want{Name: "Lovelace"}; o.Told = ada(3, "Lovelace") }))
		}, nil},
		"a deletion is lost":        {erased, func(h *History) { drop(h, "e9") }, []string{"nothing lost"}},
		"an erasure drops events":   {erased, func(h *History) { drop(h, "e3"); drop(h, "e4") }, nil},
		"two events are swapped":    {good, swap(2, 3), []string{"order"}},
		"an event after a deletion": {erased, swap(4, 5), []string{"order"}},
		"an event that a broker kept unread arrives after a deletion": {
			erased, func(h *History) {
				h.Faults = []Fault{{Replica: Everywhere, Start: 4 * s, End: 20 * s, Delays: true}}
				swap(4, 5)(h)
			}, nil,
		},
		"a broker that reads again": {
			erased, func(h *History) {
				h.Faults = []Fault{{Replica: Everywhere, Start: 0, End: 1 * ms, Delays: true}}
				swap(4, 5)(h)
			}, []string{"order"},
		},
		"events of one version swap": {good, swap(3, 4), []string{"order"}},
		"an event without a cause": {good, func(h *History) {
			h.Deliveries = append(h.Deliveries, event("e6", loggedIn, 99, 3, 8*s, nil))
		}, []string{"no phantom"}},
		"an event without a request": {good, func(h *History) {
			h.Deliveries = append(h.Deliveries, event("e6", loggedIn, 0, 3, 8*s, nil))
		}, []string{"no phantom"}},
		"an event of a refused change": {
			good, func(h *History) { op(h, 4).Outcome, op(h, 4).Told = Refused, nil },
			[]string{"audit", "no phantom"},
		},
		"an event of another kind": {
			good, func(h *History) { h.Deliveries[1].Type = passwordChanged },
			[]string{"audit", "no phantom", "nothing lost"},
		},
		"a change with two events": {good, func(h *History) {
			h.Deliveries = append(h.Deliveries, event("e6", passwordChanged, 7, 3, 7*s, nil))
		}, []string{"no phantom"}},
		"two events of one version": {good, func(h *History) {
			h.Ops = append(h.Ops,
				request(10, Patch, 4*s, func(o *Op) { o.Want.Name, o.Outcome, o.Status, o.HungUp = "Byron", Perhaps, 0, true }))
			h.Deliveries = slices.Insert(h.Deliveries, 3, event("e6", userUpdated, 10, 3, 4*s, ada(3, "Byron"), "name"))
			h.Final.Audit = append(h.Final.Audit, Entry{"user_updated", "ada", 10})
		}, []string{"order"}},
		"a duplicate without a reason": {
			good, func(h *History) { h.Deliveries = append(h.Deliveries, h.Deliveries[4]) },
			[]string{"few duplicates"},
		},
		"a duplicate for each fault": {good, func(h *History) {
			h.Faults = []Fault{{Replica: Everywhere, Start: 7 * s, End: 8 * s, Cuts: 1}}
			h.Deliveries = append(h.Deliveries, h.Deliveries[4])
		}, nil},
		"an event with many duplicates": {good, func(h *History) {
			h.Faults = []Fault{{Replica: Everywhere, Start: 7 * s, End: 8 * s, Cuts: 1}}
			h.Deliveries = append(h.Deliveries, h.Deliveries[4], h.Deliveries[4])
		}, []string{"few duplicates"}},
		"a duplicate for a fault after it was sent": {good, func(h *History) {
			h.Faults = []Fault{{Replica: Everywhere, Start: 21 * s, End: 22 * s, Cuts: 1}}
			h.Deliveries = append(h.Deliveries, h.Deliveries[4])
		}, []string{"few duplicates"}},
		"a duplicate that differs": {good, func(h *History) {
			h.Faults = []Fault{{Replica: Everywhere, Start: 7 * s, End: 8 * s, Cuts: 1}}
			again := h.Deliveries[4]
			again.Body = "another"
			h.Deliveries = append(h.Deliveries, again)
		}, []string{"duplicates are the same"}},
		"an event with an invented name": {
			good, func(h *History) { h.Deliveries[3].User = ada(3, "Byron") },
			[]string{"accounts", "contents", "nothing lost", "stale"},
		},
		"an event with a change outside of its changed fields": {good, func(h *History) {
			h.Deliveries[3].User.Roles, h.Final.Users[0].Roles = []string{"admin"}, []string{"admin"}
			op(h, 4).Told.Roles, op(h, 8).Told.Roles = []string{"admin"}, []string{"admin"}
		}, []string{"contents"}},
		"events in the outbox at the end": {good, func(h *History) { h.Final.Outbox = 1 }, []string{"nothing lost"}},
		"an event that was returned and sent again": {good, func(h *History) {
			h.Faults = []Fault{{Replica: Everywhere, Start: 3 * s, End: 3500 * ms, Drops: true}}
			swap(2, 3)(h)
		}, nil},
		"an event that was returned": {good, func(h *History) {
			h.Faults = []Fault{{Replica: Everywhere, Start: 3 * s, End: 4 * s, Drops: true}}
			drop(h, "e3")
		}, nil},
	})
}

func TestAccountsAreChecked(t *testing.T) {
	t.Parallel()
	checkAll(t, map[string]broken{
		"a change is lost":   {good, func(h *History) { h.Final.Users = []User{*ada(2, "Countess")} }, []string{"accounts"}},
		"an account is lost": {good, func(h *History) { h.Final.Users = nil }, []string{"accounts"}},
		"an account without a registration": {good, func(h *History) {
			h.Final.Users = append(h.Final.Users, User{ID: "eve"})
		}, []string{"accounts"}},
		"an erased account exists again": {erased, func(h *History) { h.Final.Users = []User{*ada(3, "Lovelace")} }, []string{"accounts"}},
		"an older version is read":       {good, func(h *History) { op(h, 8).Told = ada(2, "Countess") }, []string{"stale"}},
		"a state that never existed":     {good, func(h *History) { op(h, 8).Told = ada(3, "Byron") }, []string{"stale"}},
		"an erased account is read":      {erased, func(h *History) { op(h, 8).Start, op(h, 8).End = 10*s, 11*s }, []string{"stale"}},
		"If-Match on another version":    {good, func(h *History) { op(h, 4).Want.IfVersion = 1 }, []string{"stale"}},
		"If-Match on the version":        {good, func(h *History) { op(h, 4).Want.IfVersion = 2 }, nil},
		"a change without a response was made": {good, func(h *History) {
			op(h, 4).Outcome, op(h, 4).Told, op(h, 4).HungUp, op(h, 4).Status = Perhaps, nil, true, 0
		}, nil},
		"an entry of the audit is missing": {good, func(h *History) { h.Final.Audit = h.Final.Audit[1:] }, []string{"audit"}},
		"a duplicate entry": {
			good, func(h *History) { h.Final.Audit = append(h.Final.Audit, h.Final.Audit[3]) },
			[]string{"audit"},
		},
		"an entry without a cause": {good, func(h *History) {
			h.Final.Audit = append(h.Final.Audit, Entry{"user_updated", "ada", 99})
		}, []string{"audit"}},
		"an erasure without its entry": {erased, func(h *History) { h.Final.Audit = h.Final.Audit[:5] }, []string{"audit"}},
	})
}

func TestSessionsAndPasswordsAreChecked(t *testing.T) {
	t.Parallel()
	checkAll(t, map[string]broken{
		"a session is lost": {good, func(h *History) { h.Final.Sessions = nil }, []string{"sessions"}},
		"an ended session is valid": {good, func(h *History) {
			h.Final.Sessions = append(h.Final.Sessions, Session{ID: "s1", User: "ada", Counter: 2})
		}, []string{"sessions"}},
		"a session without a login": {
			good, func(h *History) { h.Final.Sessions = append(h.Final.Sessions, Session{ID: "s3", User: "ada"}) },
			[]string{"sessions"},
		},
		"a session of a lost response": {good, func(h *History) {
			h.Final.Sessions = append(h.Final.Sessions, Session{ID: "s3", User: "ada"})
			h.Ops = append(h.Ops,
				request(10, Login, 9*s, func(o *Op) { o.Want.Password, o.Outcome, o.Status, o.HungUp = "two", Perhaps, 0, true }))
		}, nil},
		"a counter that decreased": {good, func(h *History) {
			h.Ops = slices.DeleteFunc(h.Ops, func(o Op) bool { return o.ID == 7 })
			drop(h, "e5")
			h.Final.Audit = h.Final.Audit[:4]
			h.Final.Sessions = []Session{{ID: "s1", User: "ada", Counter: 1}}
		}, []string{"sessions"}},
		"a second successor of a token": {good, func(h *History) {
			h.Ops = append(h.Ops, request(10, Refresh, 5*s, func(o *Op) { o.Session, o.Shown, o.Got, o.GotToken = "s1", 0, 1, "another" }))
		}, []string{"refresh tokens"}},
		"the same successor again": {good, func(h *History) {
			h.Ops = append(h.Ops, request(10, Refresh, 5*s, func(o *Op) { o.Session, o.Shown, o.Got, o.GotToken = "s1", 0, 1, "s1.1" }))
		}, nil},
		"a successor with a wrong counter": {good, func(h *History) { op(h, 6).Got = 3 }, []string{"refresh tokens"}},
		"a valid token is refused": {good, func(h *History) {
			op(h, 6).Outcome, op(h, 6).Status = Refused, 401
		}, []string{"refresh tokens"}},
		"a token of an ended session": {good, func(h *History) {
			h.Ops = append(h.Ops, request(10, Refresh, 8*s, func(o *Op) { o.Session, o.Shown, o.Got, o.GotToken = "s1", 2, 3, "s1.3" }))
		}, []string{"refresh tokens"}},
		"a used token is refused": {good, func(h *History) {
			h.Ops = append(h.Ops,
				request(10, Refresh, 6500*ms, func(o *Op) { o.Session, o.Shown, o.Outcome, o.Status = "s1", 0, Refused, 401 }))
		}, nil},
		"a replaced password is accepted": {good, func(h *History) {
			h.Ops = append(h.Ops, request(10, Login, 9*s, func(o *Op) { o.Want.Password, o.Session = "one", "s3" }))
			h.Deliveries = append(h.Deliveries, event("e6", loggedIn, 10, 3, 9*s, nil))
			h.Final.Audit = append(h.Final.Audit, Entry{"authn_login_success", "ada", 10})
			h.Final.Sessions = append(h.Final.Sessions, Session{ID: "s3", User: "ada"})
		}, []string{"passwords"}},
		"the correct password is refused": {good, func(h *History) {
			h.Ops = append(h.Ops, request(10, Login, 9*s, func(o *Op) { o.Want.Password, o.Outcome, o.Status = "two", Refused, 401 }))
		}, []string{"passwords"}},
		"a disabled user is refused": {good, func(h *History) {
			h.Ops = append(h.Ops,
				request(10, Status, 9*s, func(o *Op) { o.Want.Status, o.Outcome, o.Status, o.HungUp = "disabled", Perhaps, 0, true }),
				request(11, Login, 10*s, func(o *Op) { o.Want.Password, o.Outcome, o.Status = "two", Refused, 401 }))
		}, nil},
	})
}

func TestAnswersAreChecked(t *testing.T) {
	t.Parallel()
	fails := func(status int, edit func(*Op)) func(*History) {
		return func(h *History) {
			h.Ops = append(h.Ops, request(10, Patch, 9*s, func(o *Op) {
				o.Replica, o.Outcome, o.Status, o.RetryAfter, o.Want.Name = 1, Perhaps, status, true, "Byron"
				edit(o)
			}))
		}
	}
	with := func(f Fault, change func(*History)) func(*History) {
		return func(h *History) {
			h.Faults = append(h.Faults, f)
			change(h)
		}
	}
	nothing := func(*Op) {}
	unsettled := func(h *History) {
		fails(503, nothing)(h)
		h.Ops = append(h.Ops,
			request(11, Put, 1*s, func(o *Op) { o.Outcome, o.Status, o.HungUp, o.Want.Name = Perhaps, 0, true, "Ada King" }))
	}
	down := Fault{Replica: 1, Start: 6 * s, End: 7500 * ms, Database: true}
	checkAll(t, map[string]broken{
		"a 500":                     {good, fails(500, nothing), []string{"only 503"}},
		"a 503 without Retry-After": {good, with(down, fails(503, func(o *Op) { o.RetryAfter = false })), []string{"only 503"}},
		"a 503 without a fault":     {good, fails(503, nothing), []string{"503 explained"}},
		"a 503 after a fault":       {good, with(down, fails(503, nothing)), nil},
		"a 503 too long after a fault": {
			good, with(Fault{Replica: 1, Start: 6 * s, End: 6500 * ms, Database: true}, fails(503, nothing)),
			[]string{"503 explained"},
		},
		"a 503 of another replica": {
			good, with(Fault{Replica: 0, Start: 6 * s, End: 8 * s, Database: true}, fails(503, nothing)),
			[]string{"503 explained"},
		},
		"a 503 for a broker": {
			good, with(Fault{Replica: 1, Start: 6 * s, End: 10 * s, Cuts: 1}, fails(503, nothing)),
			[]string{"503 explained"},
		},
		"a 503 for a lock that stays": {good, with(Fault{Replica: 0, Start: 1 * s, End: 1 * s, Locks: true}, unsettled), nil},
		"a 503 for the lock of a reset, which is sent after its response": {
			good, with(Fault{Replica: 0, Start: 2 * s, End: 2 * s, Locks: true}, func(h *History) {
				fails(503, nothing)(h)
				h.Ops = append(h.Ops, request(11, RequestReset, 1*s, nothing))
			}), nil,
		},
		"a 503 long after a reset": {
			good, with(Fault{Replica: 0, Start: 6 * s, End: 6 * s, Locks: true}, func(h *History) {
				fails(503, nothing)(h)
				h.Ops = append(h.Ops, request(11, RequestReset, 1*s, nothing))
			}), []string{"503 explained"},
		},
		"a 503 for the lock of the administrator's account": {
			good, with(Fault{Replica: 0, Start: 1 * s, End: 1 * s, Locks: true}, func(h *History) {
				fails(503, func(o *Op) { o.ByPermission = true })(h)
				h.Ops = append(h.Ops, request(11, Roles, 1*s, func(o *Op) {
					o.User, o.ByPermission, o.Outcome, o.Status, o.HungUp = "bob", true, Perhaps, 0, true
				}))
			}), nil,
		},
		"a 503 for a user's own request during a lock of the administrator's account": {
			good, with(Fault{Replica: 0, Start: 1 * s, End: 1 * s, Locks: true}, func(h *History) {
				fails(503, nothing)(h)
				h.Ops = append(h.Ops, request(11, Roles, 1*s, func(o *Op) {
					o.User, o.ByPermission, o.Outcome, o.Status, o.HungUp = "bob", true, Perhaps, 0, true
				}))
			}), []string{"503 explained"},
		},
		"a lock that stays too long": {
			good, with(Fault{Replica: 0, Start: 1 * s, End: 1 * s, Locks: true}, func(h *History) {
				unsettled(h)
				op(h, 10).Start, op(h, 10).End = 14*s, 15*s
			}),
			[]string{"503 explained"},
		},
		"no response":                      {good, fails(0, nothing), []string{"answered"}},
		"no response, client disconnected": {good, fails(0, func(o *Op) { o.HungUp = true }), nil},
		"no response, replica killed": {
			good,
			with(Fault{Replica: 1, Start: 9 * s, End: 10 * s, Connections: true}, fails(0, nothing)), nil,
		},
		"a late response": {good, func(h *History) { op(h, 8).End += 3 * s }, []string{"in time"}},
		"a late response, busy machine": {
			good, with(Fault{Replica: Everywhere, Start: 9 * s, End: 10 * s, Slow: true}, func(h *History) { op(h, 8).End += 3 * s }),
			nil,
		},
		"a replica that only fails": {good, with(Fault{Replica: 1, Start: 8 * s, End: 8 * s, Database: true}, func(h *History) {
			for i := range 10 {
				h.Ops = append(h.Ops, request(20+i, Patch, 9*s+time.Duration(i)*s, func(o *Op) {
					o.Replica, o.Outcome, o.Status, o.RetryAfter = 1, Perhaps, 503, true
				}))
			}
		}), []string{"503 explained", "silence"}},
	})
}
