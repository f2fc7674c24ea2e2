package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// grafana draws with a running Grafana, through its HTTP API.
type grafana struct {
	base  *url.URL // with a user and a password, if there is no token
	token string   // of a service account
	settings
}

// ofGrafana is the uid of the data source that grafana creates.
const ofGrafana = "user-service-pictures"

func newGrafana(base, token string, s settings) (*grafana, error) {
	parsed, err := url.Parse(strings.TrimSuffix(base, "/"))
	if err != nil || parsed.Host == "" {
		return nil, fmt.Errorf("the URL of Grafana: %q is not a URL", base)
	}
	return &grafana{base: parsed, token: token, settings: s}, nil
}

// prepare creates the data source for the Prometheus server, and checks that Grafana can render pictures.
func (g *grafana) prepare(ctx context.Context) error {
	var features struct{ RendererAvailable bool }
	if err := g.call(ctx, http.MethodGet, "/api/frontend/settings", nil, &features); err != nil {
		return err
	}
	if !features.RendererAvailable {
		return errors.New("no image renderer: install the image renderer of Grafana, and run this again")
	}
	source := object{
		"uid": ofGrafana, "name": "User service pictures", "type": "prometheus", "access": "proxy", "url": g.prometheus,
		"jsonData": object{"httpMethod": http.MethodPost, "timeInterval": "5s"},
	}
	err := g.call(ctx, http.MethodPut, "/api/datasources/uid/"+ofGrafana, source, nil)
	var status statusError
	if errors.As(err, &status) && status.code == http.StatusNotFound {
		return g.call(ctx, http.MethodPost, "/api/datasources", source, nil)
	}
	return err
}

// draw provisions the dashboard in file, and writes a PNG of it.
func (g *grafana) draw(ctx context.Context, file string) error {
	text, err := os.ReadFile(file) //nolint:gosec // the user names the file
	if err != nil {
		return fmt.Errorf("read the dashboard: %w", err)
	}
	var content object
	if err := json.Unmarshal(text, &content); err != nil {
		return fmt.Errorf("parse the dashboard: %w", err)
	}
	shown, err := read(file)
	if err != nil {
		return err
	}
	if g.first {
		shown.cut()
		panels, _ := content["panels"].([]any)
		content["panels"] = panels[:len(shown.Panels)]
	}
	content["id"] = nil // Grafana finds an earlier version by its uid
	var saved struct{ UID, URL string }
	change := object{"dashboard": content, "overwrite": true, "message": "by make dashboards"}
	if err := g.call(ctx, http.MethodPost, "/api/dashboards/db", change, &saved); err != nil {
		return err
	}
	picture, err := g.render(ctx, saved.URL, shown.height())
	if err != nil {
		return err
	}
	out := filepath.Join(g.out, strings.TrimSuffix(filepath.Base(file), ".json")+".png")
	if err := os.WriteFile(out, picture, 0o644); err != nil { //nolint:gosec // for everybody to read
		return fmt.Errorf("write the picture: %w", err)
	}
	return nil
}

// render returns a PNG of the dashboard at a path such as /d/UID/NAME.
func (g *grafana) render(ctx context.Context, path string, height int) ([]byte, error) {
	from := g.until.Add(-g.last)
	query := url.Values{
		"from": {strconv.FormatInt(from.UnixMilli(), 10)}, "to": {strconv.FormatInt(g.until.UnixMilli(), 10)}, "kiosk": {""},
		"width": {strconv.Itoa(width)}, "height": {strconv.Itoa(height)}, "theme": {"dark"}, "tz": {"UTC"}, "timeout": {"60"},
		"var-datasource": {ofGrafana},
	}
	for name, value := range g.variables {
		if value != ".*" { // all values are the default of the variable
			query.Set("var-"+name, value)
		}
	}
	picture, err := g.send(ctx, http.MethodGet, "/render"+strings.TrimPrefix(path, g.base.Path)+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(picture, []byte("\x89PNG")) {
		return nil, fmt.Errorf("render %s: the answer is not a PNG", path)
	}
	return picture, nil
}

type object = map[string]any

// call sends an object, and decodes the answer into answer, if it is not nil.
func (g *grafana) call(ctx context.Context, method, path string, body, answer any) error {
	text, err := g.send(ctx, method, path, body)
	if err != nil || answer == nil {
		return err
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// statusError is an answer of Grafana that is not a success.
type statusError struct {
	request string
	code    int
	text    string
}

func (e statusError) Error() string {
	return fmt.Sprintf("%s: Grafana answers %d: %s", e.request, e.code, e.text)
}

func (g *grafana) send(ctx context.Context, method, path string, body any) ([]byte, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		content = bytes.NewReader(text)
	}
	target := *g.base
	target.User = nil
	req, err := http.NewRequestWithContext(ctx, method, target.String()+path, content) //nolint:gosec // the user names the server
	if err != nil {
		return nil, fmt.Errorf("create the request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if g.token != "" {
		req.Header.Set("Authorization", "Bearer "+g.token)
	} else if user := g.base.User; user != nil {
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
	}
	resp, err := http.DefaultClient.Do(req) //nolint:gosec // the user names the server
	if err != nil {
		return nil, fmt.Errorf("call Grafana: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer of Grafana: %w", err)
	}
	if !slices.Contains([]int{http.StatusOK, http.StatusCreated}, resp.StatusCode) {
		short, _, _ := strings.Cut(path, "?")
		return nil, statusError{method + " " + short, resp.StatusCode, string(text[:min(len(text), 300)])}
	}
	return text, nil
}
