package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"user-service/pkg/factor"
	"user-service/pkg/telemetry"
	"user-service/pkg/user"
)

// The error codes of this package. Package user has the other codes.
const (
	malformedRequest       user.Code = "malformed-request"
	invalidParameter       user.Code = "invalid-parameter"
	authenticationRequired user.Code = "authentication-required"
	methodNotAllowed       user.Code = "method-not-allowed"
	contentTooLarge        user.Code = "content-too-large"
	unsupportedMediaType   user.Code = "unsupported-media-type"
	internal               user.Code = "internal"
)

// problemType is the HTTP status and the title of a code.
type problemType struct {
	status int
	title  string
}

// problemTypes maps every code to its problem type; docs/problems.md describes the types.
var problemTypes = map[user.Code]problemType{
	malformedRequest:              {http.StatusBadRequest, "The request is malformed"},
	invalidParameter:              {http.StatusBadRequest, "A parameter is invalid"},
	authenticationRequired:        {http.StatusUnauthorized, "Authentication is required"},
	user.InvalidAccessToken:       {http.StatusUnauthorized, "The access token is invalid"},
	user.InvalidCredentials:       {http.StatusUnauthorized, "The credentials are wrong"},
	user.InvalidToken:             {http.StatusBadRequest, "The token is invalid"},
	user.InvalidChallenge:         {http.StatusUnauthorized, "The challenge is invalid"},
	user.InvalidCode:              {http.StatusUnauthorized, "The code is wrong"},
	user.SecondFactorRequired:     {http.StatusForbidden, "A second factor is required"},
	user.InvalidRefreshToken:      {http.StatusUnauthorized, "The refresh token is invalid"},
	user.Forbidden:                {http.StatusForbidden, "Not allowed"},
	user.RegistrationDisabled:     {http.StatusForbidden, "Registration is disabled"},
	user.ReauthenticationRequired: {http.StatusForbidden, "The current password is required"},
	user.NotFound:                 {http.StatusNotFound, "Not found"},
	methodNotAllowed:              {http.StatusMethodNotAllowed, "The method is not allowed"},
	user.EmailTaken:               {http.StatusConflict, "The email is taken"},
	user.KeyInUse:                 {http.StatusConflict, "The first request is still running"},
	user.PasswordSet:              {http.StatusConflict, "The account has a password"},
	user.LastAdmin:                {http.StatusConflict, "The last admin has to stay"},
	user.BuiltInRole:              {http.StatusConflict, "The role is built in"},
	user.FactorsDisabled:          {http.StatusConflict, "Second factors are disabled"},
	user.RoleInUse:                {http.StatusConflict, "The role is in use"},
	user.PreconditionFailed:       {http.StatusPreconditionFailed, "The precondition failed"},
	contentTooLarge:               {http.StatusRequestEntityTooLarge, "The content is too large"},
	unsupportedMediaType:          {http.StatusUnsupportedMediaType, "The media type is not supported"},
	user.Invalid:                  {http.StatusUnprocessableEntity, "The request breaks a rule"},
	user.KeyReused:                {http.StatusUnprocessableEntity, "The idempotency key belongs to another request"},
	user.TooManyRequests:          {http.StatusTooManyRequests, "Too many requests"},
	user.Overloaded:               {http.StatusServiceUnavailable, "The service is overloaded"},
	user.Unavailable:              {http.StatusServiceUnavailable, "The service is unavailable"},
	internal:                      {http.StatusInternalServerError, "Internal error"},
}

// problem is a problem document (RFC 9457).
type problem struct {
	Type      string            `json:"type"`
	Title     string            `json:"title"`
	Status    int               `json:"status"`
	Detail    string            `json:"detail,omitempty"`
	Instance  string            `json:"instance"`
	RequestID string            `json:"request_id"`
	Errors    []user.FieldError `json:"errors,omitempty"`
	Error     string            `json:"error,omitempty"` // RFC 6749 section 5.2, for a formError
	Challenge string            `json:"challenge,omitempty"`
	Factors   []factor.Type     `json:"factors,omitempty"`
	PublicKey json.RawMessage   `json:"publicKey,omitempty"`
}

func errMalformed(detail string) error { return &user.Error{Code: malformedRequest, Detail: detail} }

func errParameter(detail string) error { return &user.Error{Code: invalidParameter, Detail: detail} }

func errNotFound() error { return &user.Error{Code: user.NotFound, Detail: "There is nothing here."} }

// errChanged returns the error for content whose tag is not in If-Match.
func errChanged() error {
	return &user.Error{Code: user.PreconditionFailed, Detail: "If-Match does not name the current ETag; read the content again without it."}
}

func errMethod() error {
	return &user.Error{Code: methodNotAllowed, Detail: "The Allow header lists the methods of this path."}
}

func errNoToken() error {
	return &user.Error{Code: authenticationRequired, Detail: "Send an access token: Authorization: Bearer <token>."}
}

func errTooLarge(limit int) error {
	return &user.Error{Code: contentTooLarge, Detail: fmt.Sprintf("The body may have at most %d bytes.", limit)}
}

func errMediaType(accepted string) error {
	return &user.Error{
		Code:   unsupportedMediaType,
		Detail: "Send the body as " + accepted + " in UTF-8, with that Content-Type and no Content-Encoding.",
	}
}

// handleErrors returns an http.Handler that calls serve, and responds to its error with a problem document.
func (a *API) handleErrors(serve func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := serve(w, r); err != nil {
			a.writeProblem(w, r, err)
		}
	})
}

// failWith returns an http.Handler that responds to every request with the problem of err.
func (a *API) failWith(err error) http.Handler {
	return a.handleErrors(func(http.ResponseWriter, *http.Request) error { return err })
}

// writeProblem responds with the problem document of err. The text of an error without a code is only in the log, never in the document.
func (a *API) writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	e := codedError(r, err)
	typ := problemTypes[e.Code]
	a.logFailure(r, typ.status, err)
	header := w.Header()
	if typ.status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", challenge(e.Code))
	}
	if e.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(wholeSeconds(e.RetryAfter)))
	}
	a.countRateLimited(e)
	if e.Limit != nil {
		setRateLimit(header, *e.Limit, e.RetryAfter)
	}
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Type", "application/problem+json")
	w.WriteHeader(typ.status)
	var oauth string
	if errors.As(err, new(formError)) {
		oauth = invalidRequest
	}
	document := problem{
		Type:      "/problems/" + string(e.Code),
		Title:     typ.title,
		Status:    typ.status,
		Detail:    e.Detail,
		Instance:  instance(r.URL),
		RequestID: telemetry.RequestID(r.Context()),
		Errors:    e.Fields,
		Error:     oauth,
	}
	if e.SecondFactor != nil {
		document.Challenge, document.Factors, document.PublicKey = e.SecondFactor.Challenge, e.SecondFactor.Factors,
			e.SecondFactor.PublicKey
	}
	_ = encoder(w).Encode(document)
}

// maxInstance limits the bytes of a path in a problem document. The longest path has 16 KiB, which can become 96 KiB of JSON. All of
// the JSON stays in memory until the client has read it.
const maxInstance = 512

// instance returns the path of u, cut after maxInstance bytes.
func instance(u *url.URL) string {
	path := u.EscapedPath()
	if len(path) <= maxInstance {
		return path
	}
	path = path[:maxInstance]
	if last := strings.LastIndexByte(path, '%'); last > maxInstance-len("%41") { // an incomplete escape
		path = path[:last]
	}
	return path
}

// countRateLimited reports a request that a limit has refused. The limits of waiting requests and of bodies in transit
// have no user.Limit that names them. Their names are queue and bodies.
func (a *API) countRateLimited(e *user.Error) {
	switch {
	case e.Limit != nil:
		a.observer.RateLimited(e.Limit.Policy)
	case e.Code == user.TooManyRequests:
		a.observer.RateLimited("queue")
	case errors.Is(e, errBodiesFull):
		a.observer.RateLimited("bodies")
	}
}

// setRateLimit sets the header fields of draft-ietf-httpapi-ratelimit-headers: the exceeded limit, with 0 remaining requests.
func setRateLimit(header http.Header, exceeded user.Limit, reset time.Duration) {
	header.Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", exceeded.Policy, exceeded.Quota, wholeSeconds(exceeded.Window)))
	header.Set("RateLimit", fmt.Sprintf("%q;r=0;t=%d", exceeded.Policy, wholeSeconds(reset)))
}

// wholeSeconds rounds up to seconds, so that a client that waits this time has waited long enough.
func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// codedError returns the *user.Error in err, or a new one with the code Unavailable or internal.
func codedError(r *http.Request, err error) *user.Error {
	var e *user.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded), r.Context().Err() != nil:
		return &user.Error{
			Code: user.Unavailable, Detail: "The service could not respond in time; try again shortly.",
			RetryAfter: time.Second,
		}
	default:
		return &user.Error{Code: internal, Detail: "The service failed; its log tells why under this request_id."}
	}
}

// challenge returns the WWW-Authenticate header of a 401 (RFC 6750 section 3). It names an error only if the client has sent a token.
func challenge(code user.Code) string {
	if code == user.InvalidAccessToken {
		return `Bearer realm="user-service", error="invalid_token", error_description="The access token is invalid or has expired"`
	}
	return `Bearer realm="user-service"`
}

// logFailure logs a failed request with its cause: faults of the service as errors or warnings, others at debug level.
func (a *API) logFailure(r *http.Request, status int, err error) {
	level := slog.LevelDebug
	switch {
	case r.Context().Err() != nil && errors.Is(err, context.Canceled): // the client has closed the connection
	case status == http.StatusInternalServerError:
		level = slog.LevelError
	case status == http.StatusServiceUnavailable:
		level = slog.LevelWarn
	}
	var known *user.Error
	if errors.As(err, &known) && len(known.Fields) > 0 { // the pointers of the fields may contain text of the client
		err = fmt.Errorf("%s: %d members of the request", known.Code, len(known.Fields))
	}
	a.log.Log(r.Context(), level, "request failed", "status", status, "error", err)
}
