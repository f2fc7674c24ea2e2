package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/factor"
	"user-service/pkg/user"
)

// factorPaths are paths that exist only if second factors are enabled. They need an access token.
var factorPaths = []string{
	"/users/:id/factors", "/users/:id/factors/:factor_id", "/users/:id/factors/:factor_id/confirm",
	"/users/:id/factors/:factor_id/remove", "/users/:id/recovery-codes",
}

// enabled reports whether the feature of a route is configured.
func (a *API) enabled(r route) bool {
	return !slices.Contains(factorPaths, r.path) || a.users.FactorsEnabled()
}

// factorItem is a factor in a response.
type factorItem struct {
	ID         uuid.UUID   `json:"id"`
	Type       factor.Type `json:"type"`
	Name       string      `json:"name"`
	CreatedAt  time.Time   `json:"created_at"`
	LastUsedAt *time.Time  `json:"last_used_at,omitempty"`
	Confirmed  bool        `json:"confirmed"`
}

func newFactorItem(f user.Factor) factorItem {
	item := factorItem{ID: f.ID, Type: f.Type, Name: f.Name, CreatedAt: f.CreatedAt, Confirmed: f.Confirmed}
	if !f.LastUsedAt.IsZero() {
		item.LastUsedAt = &f.LastUsedAt
	}
	return item
}

func factorItems(factors []user.Factor) []factorItem {
	items := make([]factorItem, len(factors))
	for i, f := range factors {
		items[i] = newFactorItem(f)
	}
	return items
}

func readCodeLogin(o *object) user.CodeLogin {
	return user.CodeLogin{Challenge: o.text("challenge"), Proof: readProof(o)}
}

func readProof(o *object) user.Proof {
	return user.Proof{Code: o.code(), Credential: o.document("credential")}
}

// code takes the member code, without blanks at both ends.
func (o *object) code() string { return strings.TrimSpace(o.text("code")) }

func (a *API) loginWithCode(w http.ResponseWriter, c *call) error {
	if !a.users.FactorsEnabled() {
		return errNotFound()
	}
	in, err := decode(c, []string{mediaJSON}, readCodeLogin, user.CodeLogin.Check)
	if err != nil {
		return err
	}
	pair, err := a.users.LoginWithCode(c.Context(), in)
	return a.loginDone(w, c, pair, err)
}

func (a *API) requestPasskey(w http.ResponseWriter, c *call) error {
	if !a.users.PasskeysEnabled() {
		return errNotFound()
	}
	request, err := a.users.RequestPasskey(c.Context())
	if err != nil {
		return err
	}
	noStore(w)
	return writeJSON(w, http.StatusOK, struct {
		Challenge string          `json:"challenge"`
		PublicKey json.RawMessage `json:"publicKey"`
	}{request.Challenge, request.PublicKey})
}

func readPasskeyLogin(o *object) user.PasskeyLogin {
	return user.PasskeyLogin{Challenge: o.text("challenge"), Credential: o.document("credential")}
}

func (a *API) loginWithPasskey(w http.ResponseWriter, c *call) error {
	if !a.users.PasskeysEnabled() {
		return errNotFound()
	}
	in, err := decode(c, []string{mediaJSON}, readPasskeyLogin, user.PasskeyLogin.Check)
	if err != nil {
		return err
	}
	pair, err := a.users.LoginWithPasskey(c.Context(), in)
	return a.loginDone(w, c, pair, err)
}

func (a *API) listFactors(w http.ResponseWriter, c *call) error {
	factors, err := a.users.Factors(c.Context(), c.target)
	if err != nil {
		return err
	}
	noStore(w)
	return writeJSON(w, http.StatusOK, struct {
		Items             []factorItem `json:"items"`
		RecoveryCodesLeft int          `json:"recovery_codes_left"`
	}{factorItems(factors.All), len(factors.RecoveryCodes)})
}

func readNewFactor(o *object) user.NewFactor {
	return user.NewFactor{Type: factor.Type(o.text("type")), Name: o.text("name"), CurrentPassword: o.text("current_password")}
}

func (a *API) addFactor(w http.ResponseWriter, c *call) error {
	in, err := decode(c, []string{mediaJSON}, readNewFactor, a.users.CheckNewFactor)
	if err != nil {
		return err
	}
	added, err := a.users.AddFactor(c.Context(), c.by, c.grant, in)
	if err != nil {
		return err
	}
	noStore(w)
	return writeJSON(w, http.StatusCreated, struct {
		ID        uuid.UUID       `json:"id"`
		Secret    string          `json:"secret,omitempty"`
		URI       string          `json:"otpauth_uri,omitempty"`
		PublicKey json.RawMessage `json:"publicKey,omitempty"`
	}{added.Factor.ID, added.Secret, added.URI, added.PublicKey})
}

func (a *API) confirmFactor(w http.ResponseWriter, c *call) error {
	proof, err := decode(c, []string{mediaJSON}, readProof, user.Proof.Check)
	if err != nil {
		return err
	}
	f, codes, err := a.users.ConfirmFactor(c.Context(), c.grant, c.factor, proof)
	if err != nil {
		return err
	}
	noStore(w)
	return writeJSON(w, http.StatusOK, struct {
		factorItem
		RecoveryCodes []string `json:"recovery_codes,omitempty"`
	}{newFactorItem(f), codes})
}

func readCurrentPassword(o *object) string { return o.text("current_password") }

func (a *API) removeFactor(w http.ResponseWriter, c *call) error {
	pw, err := decode(c, []string{mediaJSON}, readCurrentPassword, user.CheckCurrentPassword)
	if err != nil {
		return err
	}
	if err := a.users.RemoveFactor(c.Context(), c.by, c.grant, c.factor, pw); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) removeFactorOf(w http.ResponseWriter, c *call) error {
	if err := a.users.RemoveFactorOf(c.Context(), c.grant, c.factor); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) newRecoveryCodes(w http.ResponseWriter, c *call) error {
	pw, err := decode(c, []string{mediaJSON}, readCurrentPassword, user.CheckCurrentPassword)
	if err != nil {
		return err
	}
	codes, err := a.users.NewRecoveryCodes(c.Context(), c.by, c.grant, pw)
	if err != nil {
		return err
	}
	noStore(w)
	return writeJSON(w, http.StatusOK, struct {
		RecoveryCodes []string `json:"recovery_codes"`
	}{codes})
}
