// The program registers a user, logs in, changes and erases the account with a client from the OpenAPI description.
// Usage: client URL EMAIL PASSWORD
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"github.com/oapi-codegen/nullable"
)

func main() {
	if err := run(context.Background(), os.Args[1], Login{Email: os.Args[2], Password: os.Args[3]}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// printed is what the program prints.
type printed struct {
	Same     bool         `json:"same"`
	Name     *string      `json:"name"`
	Plan     any          `json:"plan"`
	Version  int64        `json:"version"`
	Roles    []string     `json:"roles"`
	Broken   [][][]string `json:"broken"`
	Statuses []int        `json:"statuses"`
}

func run(ctx context.Context, url string, login Login) error {
	client, err := NewClientWithResponses(url)
	if err != nil {
		return err
	}
	short, err := client.RegisterWithResponse(ctx, nil, Registration{Email: login.Email, Password: "short"})
	if err != nil {
		return err
	}
	registered, err := client.RegisterWithResponse(ctx, nil, Registration{
		Email: login.Email, Password: login.Password, Name: nullable.NewNullableWithValue("Ada"),
		Metadata: nullable.NewNullableWithValue(Metadata{"plan": "free", "seats": 3, "tags": []string{"a", "b"}}),
	})
	if err != nil {
		return err
	}
	if registered.JSON201 == nil {
		return fmt.Errorf("register: %s", registered.Body)
	}
	session, err := client.LoginWithResponse(ctx, nil, login)
	if err != nil {
		return err
	}
	if session.JSON200 == nil {
		return fmt.Errorf("log in: %s", session.Body)
	}
	out, err := change(ctx, client, registered.JSON201.Id.String(), *session.JSON200)
	if err != nil {
		return err
	}
	out.Broken = append([][][]string{messages(short.ApplicationproblemJSON422)}, out.Broken...)
	return json.NewEncoder(os.Stdout).Encode(out)
}

// change changes and erases the account, and logs out.
func change(ctx context.Context, client *ClientWithResponses, id string, tokens Tokens) (*printed, error) {
	authorized := func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+tokens.AccessToken)
		return nil
	}
	changed, err := client.PatchUserWithResponse(ctx, "me", nil, Patch{
		Name: nullable.NewNullNullable[Name](), Metadata: nullable.NewNullableWithValue(Metadata{"plan": "team", "seats": nil}),
	}, authorized)
	if err != nil {
		return nil, err
	}
	if changed.JSON200 == nil {
		return nil, fmt.Errorf("change: %s", changed.Body)
	}
	refused, err := client.PatchUserWithResponse(ctx, id, nil, Patch{Zoneinfo: nullable.NewNullableWithValue("Nowhere/Land")}, authorized)
	if err != nil {
		return nil, err
	}
	forbidden, err := client.IntrospectTokenWithFormdataBodyWithResponse(ctx, nil, TokenForm{Token: tokens.AccessToken}, authorized)
	if err != nil {
		return nil, err
	}
	erased, err := client.DeleteUserWithResponse(ctx, "me", nil, authorized)
	if err != nil {
		return nil, err
	}
	revoked, err := client.RevokeTokenWithFormdataBodyWithResponse(ctx, nil, TokenForm{Token: tokens.AccessToken})
	if err != nil {
		return nil, err
	}
	out, err := client.LogoutWithResponse(ctx, nil, Logout{RefreshToken: nullable.NewNullableWithValue(tokens.RefreshToken)})
	if err != nil {
		return nil, err
	}
	u := changed.JSON200 // its required fields are not pointers
	return &printed{
		Same: u.Id.String() == id, Name: u.Name, Plan: (*u.Metadata)["plan"], Version: u.Version, Roles: u.Roles,
		Broken:   [][][]string{messages(refused.ApplicationproblemJSON422)},
		Statuses: []int{forbidden.StatusCode(), erased.StatusCode(), revoked.StatusCode(), out.StatusCode()},
	}, nil
}

// messages returns the messages of a form in German. A code without a translation has the detail of the service.
func messages(problem *ValidationFailed) (all [][]string) {
	for _, e := range *problem.Errors {
		text := e.Detail
		switch e.Code {
		case TooShort:
			text = fmt.Sprintf("mindestens %d Zeichen", *e.Params.Min)
		case InvalidValue:
			text = "kein gültiger Wert"
		}
		all = append(all, []string{e.Pointer, text})
	}
	return all
}
