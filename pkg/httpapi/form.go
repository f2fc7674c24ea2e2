package httpapi

import (
	"errors"
	"net/url"
	"unicode/utf8"

	"user-service/pkg/user"
)

// mediaForm is the media type of OAuth requests (RFC 6749 appendix B).
const mediaForm = "application/x-www-form-urlencoded"

// invalidRequest is the member error of the problem document for a form that the service can't read (RFC 6749 section 5.2).
const invalidRequest = "invalid_request"

// formError is an error about a form. Its problem document has the member error, which OAuth clients read.
type formError struct{ error }

func (e formError) Unwrap() error { return e.error }

// errForm returns the error for a malformed form.
func errForm(detail string) error { return formError{errMalformed(detail)} }

// formToken reads the body, if necessary, and returns the token in its form. The service ignores other parameters, such as
// token_type_hint (RFC 7009 section 2.1, RFC 7662 section 2.1).
//
// Errors: malformedRequest, also without a token; contentTooLarge, unsupportedMediaType, Overloaded.
func (c *call) formToken() (string, error) {
	if c.ContentLength == 0 && c.Header.Get("Content-Type") == "" { // neither a body nor a media type
		return "", errNoFormToken()
	}
	if err := checkMediaType(c.Header, []string{mediaForm}); err != nil {
		return "", err
	}
	c.receiveAs(func(body []byte) (err error) {
		c.token, err = parseForm(body)
		return err
	})
	if failed := (*user.Error)(nil); errors.As(c.bodyErr, &failed) && failed.Code == malformedRequest { // also an incomplete body
		return "", formError{c.bodyErr}
	}
	return c.token, c.bodyErr
}

func errNoFormToken() error { return errForm("The form must have the parameter token.") }

// parseForm returns the token of a form. No parameter may occur twice, and an empty parameter counts as absent (RFC 6749 section 3.2).
func parseForm(body []byte) (string, error) {
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return "", errForm("The body must be a form in the media type " + mediaForm + ".")
	}
	for name, given := range values {
		if len(given) > 1 {
			return "", errForm("The form has a parameter twice.")
		}
		if !utf8.ValidString(name) || !utf8.ValidString(given[0]) {
			return "", errForm("The form must be in UTF-8.")
		}
	}
	token := values.Get("token")
	if token == "" {
		return "", errNoFormToken()
	}
	return token, nil
}
