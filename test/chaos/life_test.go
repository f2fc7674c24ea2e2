package chaos_test

import (
	"fmt"
	"net/http"
	"net/url"
)

// register makes the nth account.
func (tr *traffic) register(n int) (*account, error) {
	a := &account{email: fmt.Sprintf("user-%d@%s", n, tr.domain), names: []string{"Name 1"}}
	got, surely, err := tr.ask(request{method: "POST", path: "/register", body: map[string]string{
		"email": a.email, "password": password, "name": a.names[0],
	}})
	if err != nil {
		return nil, err
	}
	var made user
	if !surely && got.status == http.StatusConflict {
		made, err = tr.find(a.email)
	} else {
		err = got.decode(http.StatusCreated, &made)
	}
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	a.id = made.ID
	tr.add(a)
	return a, tr.check(a, made)
}

// find looks an account up whose registration was not answered.
func (tr *traffic) find(email string) (user, error) {
	got, _, err := tr.ask(request{method: "GET", path: "/users?email=" + url.QueryEscape(email)})
	var found page
	if err == nil {
		err = got.decode(http.StatusOK, &found)
	}
	if err == nil && len(found.Items) != 1 {
		err = fmt.Errorf("%s is taken, by %d accounts", email, len(found.Items))
	}
	if err != nil {
		return user{}, err
	}
	return found.Items[0], nil
}

// rename changes the account. To do it twice is to do it once.
func (tr *traffic) rename(a *account) error {
	a.names = append(a.names, fmt.Sprintf("Name %d", a.version()+1))
	got, _, err := tr.ask(request{method: "PATCH", path: "/users/" + a.id, body: map[string]string{"name": a.names[a.version()-1]}})
	if err != nil {
		return err
	}
	var changed user
	if err := got.decode(http.StatusOK, &changed); err != nil {
		return fmt.Errorf("rename: %w", err)
	}
	return tr.check(a, changed)
}

// check compares what the API shows with what is known.
func (tr *traffic) check(a *account, shown user) error {
	if shown.ID != a.id || shown.Email != a.email || shown.Version != a.version() || shown.Name != a.names[a.version()-1] {
		return fmt.Errorf("the account is %+v; want %s, %s, version %d, %q", shown, a.id, a.email, a.version(), a.names[a.version()-1])
	}
	return nil
}

// refuse asks for what must be refused, and so has no event.
func (tr *traffic) refuse(a *account) error {
	refused := []struct {
		request
		status int
	}{
		{request{method: "POST", path: "/register", body: map[string]string{"email": a.email, "password": password}}, http.StatusConflict},
		{request{method: "PATCH", path: "/users/" + a.id, body: map[string]string{"name": "Stale"}, ifMatch: `"stale"`}, http.StatusPreconditionFailed},
		{request{method: "PATCH", path: "/users/" + a.id, body: map[string]any{"name": 7}}, http.StatusUnprocessableEntity},
		{request{method: "DELETE", path: "/users/" + a.id, ifMatch: `"stale"`}, http.StatusPreconditionFailed},
	}
	for _, r := range refused {
		got, _, err := tr.ask(r.request)
		if err != nil {
			return err
		}
		if err := got.want(r.status); err != nil {
			return fmt.Errorf("%s %s: %w", r.method, r.path, err)
		}
	}
	return nil
}

// remove deletes the account.
func (tr *traffic) remove(a *account) error {
	got, surely, err := tr.ask(request{method: "DELETE", path: "/users/" + a.id})
	if err != nil {
		return err
	}
	if surely || got.status != http.StatusNotFound {
		if err := got.want(http.StatusNoContent); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
	}
	a.deleted = true
	return nil
}

// live is the whole life of the nth account.
func (tr *traffic) live(n int) error {
	a, err := tr.register(n)
	if err != nil {
		return err
	}
	if err := tr.change(n, a); err != nil {
		return err
	}
	if n%2 == 0 {
		return tr.remove(a)
	}
	return nil
}

// change renames the nth account, some twice, and tries what must be refused with others.
func (tr *traffic) change(n int, a *account) error {
	if err := tr.rename(a); err != nil {
		return err
	}
	if n%5 == 0 {
		if err := tr.refuse(a); err != nil {
			return err
		}
	}
	if n%3 == 0 {
		return tr.rename(a)
	}
	return nil
}
