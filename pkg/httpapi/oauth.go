package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"user-service/pkg/access"
	"user-service/pkg/user"
)

// inactive is the response about a token that is not active. It has no other members, because they would reveal something about the token
// (RFC 7662 section 2.2).
type inactive struct {
	Active bool `json:"active"` // always false
}

// introspection is the response about an active token (RFC 7662 section 2.2). Its additional members have the names of the claims of an
// access token.
type introspection struct {
	Active        bool                `json:"active"` // always true
	TokenType     string              `json:"token_type"`
	Issuer        string              `json:"iss"`
	Subject       uuid.UUID           `json:"sub"`
	Audience      []string            `json:"aud,omitempty"`
	ClientID      string              `json:"client_id"`
	ExpiresAt     int64               `json:"exp"` // Unix time in seconds, like iat and auth_time
	IssuedAt      int64               `json:"iat"`
	ID            string              `json:"jti,omitempty"`
	SessionID     uuid.UUID           `json:"sid"`
	AuthTime      int64               `json:"auth_time"`
	AMR           []string            `json:"amr"`
	EmailVerified bool                `json:"email_verified"`
	Roles         []string            `json:"roles"`
	Permissions   []access.Permission `json:"permissions"`
}

// tokenTypes are the values of token_type. A refresh token is not an access token, so its type is N_A (RFC 8693 section 2.2.1). So a
// service that expects Bearer does not accept a refresh token as an access token.
var tokenTypes = map[user.TokenKind]string{user.AccessTokenKind: "Bearer", user.RefreshTokenKind: "N_A"}

// introspect describes a token to other services (RFC 7662).
func (a *API) introspect(w http.ResponseWriter, c *call) error {
	token, err := c.formToken()
	if err != nil {
		return err
	}
	found, active, err := a.users.Introspect(c.Context(), token)
	if err != nil {
		return err
	}
	noStore(w)
	if !active {
		return writeJSON(w, http.StatusOK, inactive{})
	}
	return writeJSON(w, http.StatusOK, introspection{
		Active: true, TokenType: tokenTypes[found.Kind], Issuer: found.Issuer, Subject: found.UserID, Audience: found.Audience,
		ClientID: found.ClientID, ExpiresAt: found.ExpiresAt.Unix(), IssuedAt: found.IssuedAt.Unix(), ID: found.ID,
		SessionID: found.SessionID, AuthTime: found.AuthTime.Unix(), AMR: found.AMR, EmailVerified: found.EmailVerified,
		Roles: append([]string{}, found.Roles...), Permissions: append([]access.Permission{}, found.Permissions...),
	})
}

// revoke ends the session of a token (RFC 7009). The response is the same for an invalid token, because there is nothing left to revoke
// (section 2.2).
func (a *API) revoke(w http.ResponseWriter, c *call) error {
	token, err := c.formToken()
	if err != nil {
		return err
	}
	if err := a.users.Revoke(c.Context(), token); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// serverMetadata describes the service as an authorization server, based on RFC 8414. The service offers no OAuth grant. So the metadata
// differs from the RFC in two points: it has no token_endpoint, and the list of response types is empty.
type serverMetadata struct {
	Issuer                   string   `json:"issuer"`
	JWKSURI                  string   `json:"jwks_uri"`
	IntrospectionEndpoint    string   `json:"introspection_endpoint"`
	IntrospectionAuthMethods []string `json:"introspection_endpoint_auth_methods_supported"`
	RevocationEndpoint       string   `json:"revocation_endpoint"`
	RevocationAuthMethods    []string `json:"revocation_endpoint_auth_methods_supported"`
	ResponseTypes            []string `json:"response_types_supported"`
}

// metadataOf returns the metadata of an issuer in JSON. ok is false if the issuer is not a URL.
func metadataOf(issuer string) (metadata []byte, ok bool) {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil ||
		strings.ContainsAny(issuer, "?#") {
		return nil, false
	}
	base := strings.TrimSuffix(issuer, "/")
	metadata, err = json.Marshal(serverMetadata{
		Issuer: issuer, JWKSURI: base + keysPath,
		IntrospectionEndpoint: base + introspectPath, IntrospectionAuthMethods: []string{"Bearer"},
		RevocationEndpoint: base + revokePath, RevocationAuthMethods: []string{"none"},
		ResponseTypes: []string{},
	})
	return metadata, err == nil
}

// metadata sends the metadata of the service. Errors: NotFound (JWT_ISSUER is not a URL), PreconditionFailed.
func (a *API) metadata(w http.ResponseWriter, c *call) error {
	metadata, ok := metadataOf(a.cfg.Issuer)
	if !ok {
		return errNotFound()
	}
	return writePublic(w, c, mediaJSON, metadata)
}
