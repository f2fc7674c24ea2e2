package user_test

import (
	"slices"
	"strings"
	"testing"

	"user-service/pkg/user"
)

// TestWorkBeforeTheHashIsBounded checks values of the maximum length and longer values. The longer values must be refused because of
// their length alone.
func TestWorkBeforeTheHashIsBounded(t *testing.T) {
	t.Parallel()
	const heavy = "\ufdfa" // 18 characters after NFKC
	long := strings.Repeat(heavy, 21_000)
	text := func(n int) string { return strings.Repeat("x", n) }
	metadata := func(n int) string { return `{"` + text(n-len(`{"":0}`)) + `":0}` }
	zone := "E" + strings.Repeat("x/", 30_000)
	for name, test := range map[string]struct {
		errs    user.FieldErrors
		pointer string // the refused field; empty: the value is accepted
	}{
		"password of a login":       {user.Login{Email: "a@b.c", Password: long}.Check(), "/password"},
		"longest email of a login":  {user.Login{Email: text(254), Password: "x"}.Check(), ""},
		"email of a login":          {user.Login{Email: text(255), Password: "x"}.Check(), "/email"},
		"current password of PUT":   {user.Replacement{Email: "a@b.c", CurrentPassword: long}.Check(), "/current_password"},
		"current password of PATCH": {user.Patch{CurrentPassword: long}.Check(), "/current_password"},
		"largest metadata of PATCH": {user.Patch{Profile: user.ProfilePatch{"metadata": metadata(24 << 10)}}.Check(), ""},
		"metadata of PATCH":         {user.Patch{Profile: user.ProfilePatch{"metadata": metadata(24<<10 + 1)}}.Check(), "/metadata"},
		"zoneinfo":                  {user.Patch{Profile: user.ProfilePatch{"zoneinfo": zone}}.Check(), "/zoneinfo"},
		"picture":                   {user.Patch{Profile: user.ProfilePatch{"picture": text(60_000)}}.Check(), "/picture"},
		"most roles":                {user.CheckRoles(slices.Repeat([]string{"user"}, 30)), ""},
		"roles":                     {user.CheckRoles(slices.Repeat([]string{"user"}, 31)), "/roles"},
	} {
		if test.pointer == "" && test.errs != nil || test.pointer != "" && (len(test.errs) != 1 || test.errs[0].Pointer != test.pointer) {
			t.Errorf("%s: the errors are %v, want one at %q, or none for an empty pointer", name, test.errs, test.pointer)
		}
	}
}
