package access_test

import (
	"testing"

	"github.com/google/uuid"

	"user-service/pkg/access"
)

var ada, grace = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057"), uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8058")

func TestRulesDecide(t *testing.T) {
	t.Parallel()
	caller := func(permissions ...access.Permission) access.Caller {
		return access.Caller{UserID: ada, Roles: []string{access.Admin}, Permissions: permissions} // roles have no effect
	}
	workload := func(permissions ...access.Permission) access.Caller {
		return access.Caller{Workload: "system:serviceaccount:shop:orders", Roles: []string{access.Admin}, Permissions: permissions}
	}
	reader := caller(access.RolesRead, access.UsersRead)
	for name, c := range map[string]struct {
		rule   access.Rule
		caller access.Caller
		target uuid.UUID
		want   bool
	}{
		"anyone, without a token":          {access.Anyone(), access.Caller{}, uuid.Nil, true},
		"anyone, about another":            {access.Anyone(), caller(), grace, true},
		"authenticated":                    {access.Authenticated(), caller(), uuid.Nil, true},
		"authenticated, about another":     {access.Authenticated(), caller(), grace, true},
		"self":                             {access.SelfOr(access.UsersRead), caller(), ada, true},
		"self, with the permission":        {access.SelfOr(access.UsersRead), reader, ada, true},
		"another":                          {access.SelfOr(access.UsersRead), caller(), grace, false},
		"another, with the permission":     {access.SelfOr(access.UsersRead), reader, grace, true},
		"another, with another permission": {access.SelfOr(access.UsersWrite), reader, grace, false},
		"another, with a longer one":       {access.SelfOr(access.UsersRead), caller("users:reader"), grace, false},
		"another, in upper case":           {access.SelfOr(access.UsersRead), caller("USERS:READ"), grace, false},
		"another, with both permissions":   {access.SelfOr(access.UsersRead, access.RolesRead), reader, grace, true},
		"another, with one of two":         {access.SelfOr(access.UsersRead, access.AuditRead), reader, grace, false},
		"no particular user":               {access.SelfOr(access.UsersRead), caller(), uuid.Nil, false},
		"only, with the permission":        {access.Only(access.UsersRead), reader, uuid.Nil, true},
		"only, without":                    {access.Only(access.UsersWrite), reader, uuid.Nil, false},
		"only, about oneself":              {access.Only(access.UsersWrite), reader, ada, false},
		"only oneself":                     {access.SelfOr(""), caller(), ada, true},
		"only oneself, about another":      {access.SelfOr(""), reader, grace, false},
		"only oneself, with all and none":  {access.SelfOr(""), caller("", "*"), grace, false},
		"any caller":                       {access.AnyCaller(), caller(), uuid.Nil, true},
		"any caller, a workload":           {access.AnyCaller(), workload(), uuid.Nil, true},
		"authenticated, a workload":        {access.Authenticated(), workload(access.Permissions()...), uuid.Nil, false},
		"self, a workload":                 {access.Self(), workload(access.Permissions()...), uuid.Nil, false},
		"self, a workload without it":      {access.SelfOr(access.UsersRead), workload(access.UsersWrite), uuid.Nil, false},
		"self, a workload with it":         {access.SelfOr(access.UsersRead), workload(access.UsersRead), ada, true},
		"no rule":                          {access.Rule{}, reader, ada, false},
		"no rule, with an empty one":       {access.Rule{}, caller(""), ada, false},
	} {
		if got := c.rule.Allows(c.caller, c.target); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

func TestOnlyAnyoneNeedsNoToken(t *testing.T) {
	t.Parallel()
	if !access.Anyone().Anonymous() {
		t.Error("Anyone requires a token")
	}
	for _, r := range []access.Rule{
		{}, access.AnyCaller(), access.Authenticated(), access.SelfOr(access.UsersRead), access.SelfOr(""), access.Only(access.UsersRead),
	} {
		if r.Anonymous() {
			t.Errorf("%+v requires no token", r)
		}
	}
}
