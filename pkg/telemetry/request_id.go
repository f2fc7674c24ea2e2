package telemetry

import "context"

type requestIDKey struct{}

// WithRequestID returns a context that carries the id of the request being answered.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the id of the request being answered, or nothing outside of one.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
