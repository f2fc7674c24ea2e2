package httpapi_test

import (
	"encoding/base64"
	"fmt"
	"testing"

	"golang.org/x/crypto/argon2"

	"user-service/pkg/user"
)

// importAccount imports an account with this hash.
func (s *server) importAccount(email, hash string) {
	s.t.Helper()
	importer, err := s.users.NewImporter(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if n, _, err := importer.Import(s.t.Context(), []user.Import{{Email: email, PasswordHash: hash}}, false); err != nil || n != 1 {
		s.t.Fatalf("%d accounts are imported, error %v; want 1", n, err)
	}
}

// isImported reports whether the hash of an account is marked as imported.
func (s *server) isImported(email string) (is bool) {
	s.t.Helper()
	cred, err := s.db.Credential(s.t.Context(), email)
	if err != nil {
		s.t.Fatal(err)
	}
	return cred.Imported
}

// TestAnImportedHashIsOfTheUnnormalizedPassword logs in with a password that contains a ligature. The other service hashed the password as
// entered, with the current Argon2 parameters. The first login must replace the imported hash with a hash of the normalized password.
func TestAnImportedHashIsOfTheUnnormalizedPassword(t *testing.T) {
	t.Parallel()
	s := start(t)
	const typed, normal, email, salt = "ﬁve green kettles sing", "five green kettles sing", "ada@example.com", "sixteen bytes in"
	encode := base64.RawStdEncoding.EncodeToString
	key := argon2.IDKey([]byte(typed), []byte(salt), 1, 64, 1, 32)
	s.importAccount(email, fmt.Sprintf("$argon2id$v=19$p=1,m=64,t=1$%s$%s", encode([]byte(salt)), encode(key)))
	if !s.isImported(email) {
		t.Error("the hash is not marked as imported, want it marked")
	}
	login := func(pw string) answer {
		return s.call("POST", "/login", map[string]any{"email": email, "password": pw})
	}
	before := s.hashes.Load()
	login(normal).want(t, 401)
	if n := s.hashes.Load() - before; n != 1 {
		t.Errorf("a wrong password costs %d hashes, want 1", n)
	}
	login(typed).want(t, 200)
	if s.isImported(email) {
		t.Error("the new hash is marked as imported, want it not marked")
	}
	for _, pw := range []string{typed, normal} {
		before := s.hashes.Load()
		login(pw).want(t, 200)
		if n := s.hashes.Load() - before; n != 1 {
			t.Errorf("a login with %q costs %d hashes, want 1", pw, n)
		}
	}
}

// TestAPasswordChangeReplacesAnImportedHash checks that the hash of the new password is not marked as imported.
func TestAPasswordChangeReplacesAnImportedHash(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.register()
	s.execute(`UPDATE credentials SET imported_prefix = left(password_hash, 50) WHERE user_id = $1`, a.ID)
	if !s.isImported(a.Email) {
		t.Fatal("the hash is not marked as imported, want it marked")
	}
	if got := s.call("PUT", "/users/me/password", change(a.password, newPassword), as(a.token)); got.status >= 300 {
		t.Fatalf("the change gets %d, want a 2xx: %s", got.status, got.body)
	}
	if s.isImported(a.Email) {
		t.Error("the hash of the new password is marked as imported, want it not marked")
	}
}
