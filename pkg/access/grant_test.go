package access_test

import (
	"testing"

	"github.com/google/uuid"

	"user-service/pkg/access"
)

func TestGrantsUseCurrentPermissions(t *testing.T) {
	t.Parallel()
	caller := func(roles []string, permissions ...access.Permission) access.Caller {
		return access.Caller{UserID: ada, Roles: roles, Permissions: permissions}
	}
	service := func(permissions ...access.Permission) access.Caller {
		return access.Caller{Workload: "system:serviceaccount:shop:orders", Permissions: permissions}
	}
	writer := caller(nil, access.UsersWrite)
	ordinary, admin := access.Holder{}, access.Holder{Roles: []string{access.Admin}, Permissions: access.Permissions()}
	refunds := access.Holder{Permissions: []access.Permission{"orders:refund"}}
	write := access.Only(access.UsersWrite).Grant(writer, grace)
	plain, creates := write.ForNewAccount([]string{access.User}), write.ForNewAccount([]string{"refunds"})
	assigner := caller(nil, access.UsersWrite, access.RolesAssign)
	remove := access.SelfOr(access.UsersDelete).Grant(writer, grace)
	for name, c := range map[string]struct {
		grant  access.Grant
		now    access.Caller
		target access.Holder
		want   bool
	}{
		"as before":                      {write, writer, ordinary, true},
		"without the permission now":     {write, caller(nil), ordinary, false},
		"over a user with more":          {write, writer, refunds, false},
		"over a user with the same":      {write, caller(nil, access.UsersWrite, "orders:refund"), refunds, true},
		"deletion of a user with more":   {remove, caller(nil, access.UsersDelete), refunds, false},
		"over an admin":                  {write, writer, admin, false},
		"over an admin, with all listed": {write, caller(nil, access.Permissions()...), admin, false},
		"as an admin":                    {write, caller([]string{access.Admin}, access.Permissions()...), refunds, true},
		"reading a user with more": {
			access.Only(access.UsersRead).Grant(writer, grace),
			caller(nil, access.UsersRead), admin, true,
		},
		"giving roles to a user with more": {
			access.Only(access.RolesAssign).Grant(writer, grace),
			caller(nil, access.RolesAssign), admin, true,
		},
		"a new user":                       {plain, writer, ordinary, true},
		"a new user without roles":         {write.ForNewAccount(nil), writer, ordinary, true},
		"a new user with a role":           {creates, assigner, ordinary, true},
		"a new user, without roles:assign": {creates, writer, ordinary, false},
		"a new user, only roles:assign":    {creates, caller(nil, access.RolesAssign), ordinary, false},
		"a new user with more":             {creates, assigner, refunds, false},
		"a new admin":                      {creates, assigner, admin, false},
		"a new admin, by an admin":         {creates, caller([]string{access.Admin}, access.Permissions()...), admin, true},
		"oneself, with more now":           {access.SelfOr(access.UsersWrite).Grant(writer, ada), caller(nil), admin, true},
		"oneself only, another":            {access.Self().Grant(writer, grace), writer, ordinary, false},
		"as a workload":                    {write, service(access.UsersWrite), ordinary, true},
		"as a workload over more":          {write, service(access.UsersWrite), refunds, false},
		"as a workload without it now":     {write, service(), ordinary, false},
		"as a workload about nobody":       {access.Self().Grant(service(), uuid.Nil), service(), ordinary, false},
		"internal":                         {access.Internal(grace), access.Caller{}, admin, true},
		"none":                             {access.Grant{}, writer, ordinary, false},
	} {
		if got := c.grant.Allows(c.now, c.target); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

func TestGrantWithoutATargetIsForTheCaller(t *testing.T) {
	t.Parallel()
	g := access.Authenticated().Grant(access.Caller{UserID: ada}, uuid.Nil)
	if g.Target() != ada || !g.Self() || g.Internal() {
		t.Errorf("the grant is %+v, want one for the caller", g)
	}
	if g := access.Internal(ada); g.Self() || !g.Internal() {
		t.Errorf("the grant is %+v, want an internal one", g)
	}
}
