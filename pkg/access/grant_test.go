package access_test

import (
	"testing"

	"github.com/google/uuid"

	"user-service/pkg/access"
)

func TestGrantsAreDecidedByTheRightsOfTheMoment(t *testing.T) {
	t.Parallel()
	caller := func(roles []string, permissions ...access.Permission) access.Caller {
		return access.Caller{UserID: ada, Roles: roles, Permissions: permissions}
	}
	writer := caller(nil, access.UsersWrite)
	nobody, admin := access.Holder{}, access.Holder{Roles: []string{access.Admin}, Permissions: access.Permissions()}
	refunds := access.Holder{Permissions: []access.Permission{"orders:refund"}}
	for name, c := range map[string]struct {
		grant  access.Grant
		now    access.Caller
		target access.Holder
		want   bool
	}{
		"as before":                        {access.Only(access.UsersWrite).Grant(writer, grace), writer, nobody, true},
		"without the permission by now":    {access.Only(access.UsersWrite).Grant(writer, grace), caller(nil), nobody, false},
		"over one who has more":            {access.Only(access.UsersWrite).Grant(writer, grace), writer, refunds, false},
		"over one who has the same":        {access.Only(access.UsersWrite).Grant(writer, grace), caller(nil, access.UsersWrite, "orders:refund"), refunds, true},
		"deletion of one who has more":     {access.SelfOr(access.UsersDelete).Grant(writer, grace), caller(nil, access.UsersDelete), refunds, false},
		"over an admin":                    {access.Only(access.UsersWrite).Grant(writer, grace), writer, admin, false},
		"over an admin, with all listed":   {access.Only(access.UsersWrite).Grant(writer, grace), caller(nil, access.Permissions()...), admin, false},
		"as an admin":                      {access.Only(access.UsersWrite).Grant(writer, grace), caller([]string{access.Admin}, access.Permissions()...), refunds, true},
		"reading one who has more":         {access.Only(access.UsersRead).Grant(writer, grace), caller(nil, access.UsersRead), admin, true},
		"giving roles to one who has more": {access.Only(access.RolesAssign).Grant(writer, grace), caller(nil, access.RolesAssign), admin, true},
		"oneself, with more by now":        {access.SelfOr(access.UsersWrite).Grant(writer, ada), caller(nil), admin, true},
		"oneself only, another":            {access.Self().Grant(writer, grace), writer, nobody, false},
		"internal":                         {access.Internal(grace), access.Caller{}, admin, true},
		"none":                             {access.Grant{}, writer, nobody, false},
	} {
		if got := c.grant.Allows(c.now, c.target); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

func TestWhatEveryCallerMayDoIsAboutItself(t *testing.T) {
	t.Parallel()
	g := access.Authenticated().Grant(access.Caller{UserID: ada}, uuid.Nil)
	if g.Target() != ada || !g.Self() || g.Internal() {
		t.Errorf("%+v", g)
	}
	if g := access.Internal(ada); g.Self() || !g.Internal() {
		t.Errorf("%+v", g)
	}
}
