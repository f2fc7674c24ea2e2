package httpapi

import (
	"net/http"

	"user-service/pkg/user"
)

// tokenResponse is the answer of RFC 6749 section 5.1.
type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token"`
}

func readLogin(o *object) user.Login {
	return user.Login{Email: o.text("email"), Password: o.text("password")}
}

func (a *API) login(w http.ResponseWriter, c *call) error {
	in, err := decode(c, []string{mediaJSON}, readLogin, user.Login.Check)
	if err != nil {
		return err
	}
	pair, err := a.users.Login(c.Context(), in)
	if err != nil {
		return err
	}
	return writeTokens(w, pair)
}

func (a *API) refresh(w http.ResponseWriter, c *call) error {
	token, err := decode(c, []string{mediaJSON}, func(o *object) string { return o.text("refresh_token") },
		func(token string) (errs user.FieldErrors) {
			if token == "" {
				errs.Add("/refresh_token", "is required")
			}
			return errs
		})
	if err != nil {
		return err
	}
	pair, err := a.users.Refresh(c.Context(), token)
	if err != nil {
		return err
	}
	return writeTokens(w, pair)
}

func (a *API) logout(w http.ResponseWriter, c *call) error {
	if err := a.users.Logout(c.Context(), c.by); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func writeTokens(w http.ResponseWriter, pair user.TokenPair) error {
	noStore(w)
	return writeJSON(w, http.StatusOK, tokenResponse{
		AccessToken: pair.Access, TokenType: "Bearer", ExpiresIn: int64(pair.ExpiresIn.Seconds()), RefreshToken: pair.Refresh,
	})
}
