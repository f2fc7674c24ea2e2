package factor_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"user-service/pkg/factor"
)

var ada, grace = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057"), uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8058")

func TestRecoveryCodes(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[a-z2-7]{4}(-[a-z2-7]{4}){3}$`) // 16 characters of base32 have 80 bits
	codes, hashes := factor.NewRecoveryCodes(ada)
	seen := map[string]bool{}
	for i, code := range codes {
		seen[code] = true
		if !form.MatchString(code) || !factor.IsRecoveryCode(code) {
			t.Errorf("%s does not have the form of a recovery code", code)
		}
		for _, typed := range []string{code, strings.ToUpper(code), strings.ReplaceAll(code, "-", ""), strings.ReplaceAll(code, "-", " ")} {
			if factor.HashRecoveryCode(ada, typed) != hashes[i] {
				t.Errorf("%s has another hash than %s", typed, code)
			}
		}
		if factor.HashRecoveryCode(grace, code) == hashes[i] {
			t.Error("the code of another user has the same hash")
		}
	}
	if len(seen) != factor.RecoveryCodes || len(hashes) != factor.RecoveryCodes {
		t.Errorf("there are %d different codes and %d hashes, want %d", len(seen), len(hashes), factor.RecoveryCodes)
	}
	for _, other := range []string{"", "123456", "k5vq-2m7d-xw3t", "k5vq-2m7d-xw3t-6hr1", "k5vq-2m7d-xw3t-6hra-k5vq"} {
		if factor.IsRecoveryCode(other) {
			t.Errorf("%q has the form of a recovery code", other)
		}
	}
}
