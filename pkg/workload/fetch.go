package workload

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/MicahParks/jwkset"
)

const (
	// fetchTimeout is the maximum time of a fetch, including the discovery.
	fetchTimeout = 5 * time.Second
	// maxResponse is the maximum size of a response in bytes. Ten keys have about 5 KB.
	maxResponse = 256 << 10
	// maxResponseHeader is the maximum size of a response's header in bytes.
	maxResponseHeader = 64 << 10

	discoveryPath = "/.well-known/openid-configuration"
)

// fetcher fetches the keys of the issuer. It reads CAFile and TokenFile at each fetch, because both are rotated.
type fetcher Config

// keys fetches the keys of the issuer. A response without keys is an error.
func (f fetcher) keys(ctx context.Context) (jwkset.Storage, error) {
	client, err := f.client()
	if err != nil {
		return nil, err
	}
	from := f.JWKSURL
	if from == "" {
		if from, err = f.discover(ctx, client); err != nil {
			return nil, err
		}
	}
	set, err := jwkset.NewStorageFromHTTP(from, jwkset.HTTPClientStorageOptions{Client: client, Ctx: ctx, HTTPTimeout: fetchTimeout})
	if err != nil {
		return nil, err
	}
	all, err := set.KeyReadAll(ctx)
	if err == nil && len(all) == 0 {
		err = errors.New("the response has no keys")
	}
	return set, err
}

// discover asks the issuer for the URL of its keys (OpenID Connect Discovery 1.0 section 4).
func (f fetcher) discover(ctx context.Context, client *http.Client) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(f.Issuer, "/")+discoveryPath, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the response of %s has status %d", discoveryPath, resp.StatusCode)
	}
	var found struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&found); err != nil {
		return "", fmt.Errorf("the response of %s is not JSON: %w", discoveryPath, err)
	}
	if found.Issuer != f.Issuer {
		return "", fmt.Errorf("the response of %s names another issuer", discoveryPath)
	}
	return found.JWKSURI, nil
}

// client returns an HTTP client that follows no redirects, because a redirect could lead to another issuer's keys.
func (f fetcher) client() (*http.Client, error) {
	base := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // its documented type
	base.DisableKeepAlives = true                           // fetches are rare
	base.MaxResponseHeaderBytes = maxResponseHeader
	if f.CAFile != "" {
		pem, err := os.ReadFile(f.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read WORKLOAD_CA_FILE: %w", err)
		}
		authorities := x509.NewCertPool()
		if !authorities.AppendCertsFromPEM(pem) {
			return nil, errors.New("WORKLOAD_CA_FILE has no certificate in PEM")
		}
		base.TLSClientConfig = &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{
		Transport:     transport{base: base, tokenFile: f.TokenFile, origins: origins(f.Issuer, f.JWKSURL)},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// transport sends requests by https only. It adds the token to requests to the origins, and bounds the size of responses.
type transport struct {
	base      http.RoundTripper
	tokenFile string
	origins   []string
}

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" {
		return nil, errors.New("the URL of the keys is not an https URL")
	}
	if t.tokenFile != "" && slices.Contains(t.origins, originOf(req.URL)) {
		token, err := os.ReadFile(t.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("read WORKLOAD_TOKEN_FILE: %w", err)
		}
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, maxResponse)
	return resp, nil
}

// origins returns the origins (RFC 6454) of URLs. It skips empty and invalid URLs.
func origins(urls ...string) (all []string) {
	for _, text := range urls {
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			all = append(all, originOf(u))
		}
	}
	return all
}

func originOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
