package token_test

import (
	"bytes"
	"strings"
	"testing"

	"user-service/pkg/token"
)

// TestABodyMACSurvivesARotation checks that the MACs before and after a rotation have one MAC in common.
func TestABodyMACSurvivesARotation(t *testing.T) {
	t.Parallel()
	old, next := strings.Repeat("an old secret of this test; ", 2), strings.Repeat("the next secret of this test; ", 2)
	macs := func(keys token.Keys, body string) [][]byte {
		tokens, err := token.New(token.Config{Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		return tokens.BodyMACs([]byte(body))
	}
	before := macs(token.Keys{Secret: old}, "body")
	after := macs(token.Keys{Secret: next, AcceptedSecrets: []string{old, next}}, "body")
	if len(before) != 1 || len(after) != 2 || bytes.Equal(after[0], after[1]) || !bytes.Equal(before[0], after[1]) {
		t.Errorf("the MACs are %x, then %x, want the first one again under the accepted secret", before, after)
	}
	if other := macs(token.Keys{Secret: old}, "another body"); bytes.Equal(other[0], before[0]) {
		t.Error("another body has the same MAC")
	}
}
