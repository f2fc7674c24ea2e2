package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

const (
	// Retention is how long the database stores that a mail was sent. Later, the mailer would send a mail again for a duplicate of its
	// event.
	Retention = 30 * 24 * time.Hour
	// StaleClaim is the age after which another process takes over a claim. It is longer than any attempt to send.
	StaleClaim = time.Minute
	// MaxAge is how long after its first attempt a mail is retried. A mail that is older is parked.
	MaxAge = 24 * time.Hour

	// The delays between two attempts to mark a mail as sent.
	minMarkDelay = 100 * time.Millisecond
	maxMarkDelay = 5 * time.Second
	// storeTimeout bounds one call of the store.
	storeTimeout = 5 * time.Second
)

// ErrNoAccount is the error of Store.MailAccount for an account that does not exist.
var ErrNoAccount = errors.New("there is no such account")

// Claim is the right of one process to send the mail of an event.
type Claim struct {
	Event  uuid.UUID
	Notice string    // the address of a notice; empty: the mail has a link
	At     time.Time // distinguishes this claim from a later claim of the same mail
}

// ClaimState is the result of a claim.
type ClaimState int

// The results of a claim.
const (
	Claimed     ClaimState = iota // the caller may send the mail
	AlreadySent                   // the mail was sent before
	ClaimedElse                   // another process is sending it
	Limited                       // the mailbox has got MaxNotices notices within NoticeWindow
)

// Store reads accounts, and stores which mails were sent.
type Store interface {
	// MailAccount returns the account with this id. Errors: ErrNoAccount.
	MailAccount(ctx context.Context, id uuid.UUID) (Account, error)
	// ClaimMail claims the mail of an event, and returns the state Claimed. It claims nothing if the mail was sent, if another claim is
	// younger than stale, or if the mailbox has got too many notices. notice is the address of a notice, and is empty for a mail with a
	// link. Each claim of a notice counts towards MaxNotices until it is released.
	ClaimMail(ctx context.Context, event uuid.UUID, notice string, stale time.Duration) (Claim, ClaimState, error)
	// MarkMailSent stores that a claimed mail was sent.
	MarkMailSent(ctx context.Context, claim Claim) error
	// ReleaseMail removes a claim whose mail was not sent.
	ReleaseMail(ctx context.Context, claim Claim) error
}

// Disposition is what to do with the message of an event.
type Disposition int

// The dispositions. Retry is for causes outside the mail, such as a mail server that does not answer. Defer is for causes in the mail
// itself or at its recipient.
const (
	Done    Disposition = iota // Acknowledge it.
	Retry                      // Deliver it again.
	Defer                      // Deliver it again, after delays that grow.
	Park                       // Keep it for an operator.
	Forward                    // Move it to the queue of mails that are not urgent.
)

// The results of an event, for logs and metrics.
const (
	ResultSent      = "sent"
	ResultDuplicate = "duplicate" // The mail was sent before.
	ResultExpired   = "expired"   // The token has expired.
	ResultOutdated  = "outdated"  // The account no longer exists, or the token was for an earlier address.
	ResultUnneeded  = "unneeded"  // No mail belongs to the event.
	// A notice would go to an address that was never verified, and so may belong to somebody else.
	ResultUnverified = "unverified"
	ResultLimited    = "limited" // The mailbox has got too many notices.
	ResultRetried    = "retried"
	ResultParked     = "parked"
	// The mail is not urgent, because its address was never verified.
	ResultForwarded = "forwarded"
)

// Results returns all results.
func Results() []string {
	return []string{
		ResultSent, ResultDuplicate, ResultExpired, ResultOutdated, ResultUnneeded, ResultUnverified, ResultLimited,
		ResultRetried, ResultParked,
		ResultForwarded,
	}
}

// Observer receives the measurements of a Mailer. Its methods are called concurrently and must not block.
type Observer interface {
	// MailHandled is called for each event with the result. kind is empty if no mail belongs to the event.
	MailHandled(kind, result string)
	// MailAttempted is called for each attempt to send a mail, with its duration. available is false if the attempt failed for a reason
	// that concerns all mails.
	MailAttempted(took time.Duration, available bool)
}

type noopObserver struct{}

func (noopObserver) MailHandled(string, string)        {}
func (noopObserver) MailAttempted(time.Duration, bool) {}

// Config configures a Mailer.
type Config struct {
	From     mail.Address // the sender of all mails
	Log      *slog.Logger // nil: none
	Observer Observer     // nil: none
}

// Mailer sends the mails of events. Its methods may be called concurrently.
type Mailer struct {
	store     Store
	templates *Templates
	transport *Transport
	cfg       Config
	tracer    trace.Tracer
}

// New returns a Mailer.
func New(store Store, templates *Templates, transport *Transport, cfg Config) *Mailer {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Observer == nil {
		cfg.Observer = noopObserver{}
	}
	return &Mailer{store: store, templates: templates, transport: transport, cfg: cfg, tracer: otel.Tracer("user-service/pkg/mail")}
}

// outcome is the result of handling an event.
type outcome struct {
	result, reason string
	// deferred means that a retry is needed because of the mail itself or its recipient.
	deferred bool
}

// Handle sends the mail of an event, if a mail belongs to it. age is the time since the first attempt, and 0 for the first attempt. reason
// explains the dispositions Retry, Defer and Park. It contains no personal data.
func (m *Mailer) Handle(ctx context.Context, body []byte, age time.Duration) (v Disposition, reason string) {
	return m.handle(ctx, body, attempt{age: age})
}

// HandleUrgent is Handle for an event of one of the UrgentTypes. It returns Forward for a reset to an address that was never verified.
// Otherwise anybody could delay other mails, by registering many addresses and requesting resets for them.
func (m *Mailer) HandleUrgent(ctx context.Context, body []byte, age time.Duration) (v Disposition, reason string) {
	return m.handle(ctx, body, attempt{age: age, urgent: true})
}

// attempt is an attempt to send a mail.
type attempt struct {
	age    time.Duration // since the first attempt, and 0 for the first attempt
	urgent bool          // the event comes from the queue of urgent mails
}

func (m *Mailer) handle(ctx context.Context, body []byte, a attempt) (v Disposition, reason string) {
	plan, needed, err := ForEvent(body)
	var o outcome
	switch {
	case err != nil:
		o = parked(err.Error())
	case !needed:
		o = outcome{result: ResultUnneeded}
	default:
		o = m.process(ctx, plan, a)
	}
	if o.result == ResultRetried && a.age >= MaxAge {
		o = parked("not sent within " + MaxAge.String() + "; last reason: " + o.reason)
	}
	m.report(plan, o)
	switch {
	case o.result == ResultParked:
		return Park, o.reason
	case o.result == ResultForwarded:
		return Forward, ""
	case o.result != ResultRetried:
		return Done, ""
	case o.deferred:
		return Defer, o.reason
	default:
		return Retry, o.reason
	}
}

func parked(reason string) outcome { return outcome{result: ResultParked, reason: reason} }

func retried(reason string) outcome { return outcome{result: ResultRetried, reason: reason} }

// Obsolete reports whether the account of an event no longer exists. If so, no part of the event may stay stored.
func (m *Mailer) Obsolete(ctx context.Context, body []byte) (bool, error) {
	var e cloudEvent
	if json.Unmarshal(body, &e) != nil || e.Subject == uuid.Nil {
		return false, nil
	}
	_, err := m.account(ctx, e.Subject)
	if errors.Is(err, ErrNoAccount) {
		return true, nil
	}
	return false, err
}

func (m *Mailer) report(plan Mail, o outcome) {
	kind := string(plan.Kind)
	if o.result == ResultUnneeded {
		kind = ""
	}
	m.cfg.Observer.MailHandled(kind, o.result)
	level := slog.LevelInfo
	switch o.result {
	case ResultUnneeded:
		level = slog.LevelDebug
	case ResultRetried:
		level = slog.LevelWarn
	case ResultParked:
		level = slog.LevelError
	}
	attrs := []any{"kind", kind, "result", o.result, "event", plan.Event}
	if o.reason != "" {
		attrs = append(attrs, "reason", o.reason)
	}
	m.cfg.Log.Log(context.Background(), level, "mail", attrs...)
}

func (m *Mailer) account(ctx context.Context, id uuid.UUID) (Account, error) {
	return call(ctx, func(ctx context.Context) (Account, error) { return m.store.MailAccount(ctx, id) })
}

// process sends a mail if it is still needed.
func (m *Mailer) process(ctx context.Context, plan Mail, a attempt) outcome {
	account, err := m.account(ctx, plan.Account)
	switch {
	case errors.Is(err, ErrNoAccount):
		return outcome{result: ResultOutdated}
	case err != nil:
		return m.storeFailed(err)
	}
	if result := plan.unneeded(account); result != "" {
		return outcome{result: result}
	}
	if a.urgent && plan.Kind == PasswordReset && !account.Verified {
		return outcome{result: ResultForwarded}
	}
	if plan.To == "" {
		plan.To = account.Email
	}
	if !isAddress(plan.To) {
		return parked(errUnreadable.Error())
	}
	text, err := m.templates.Render(plan, account)
	if err != nil {
		return parked("a template fails: " + err.Error())
	}
	claim, state, err := m.claim(ctx, plan)
	switch {
	case err != nil:
		return m.storeFailed(err)
	case state == AlreadySent:
		return outcome{result: ResultDuplicate}
	case state == Limited:
		return outcome{result: ResultLimited}
	case state == ClaimedElse:
		return retried("another process is sending the mail, or was, up to " + StaleClaim.String() + " ago")
	}
	first := a.age == 0 // it has a shorter timeout, so that slow recipients do not delay other mails
	return m.send(ctx, plan, text, claim, first)
}

// unneeded returns "" if the mail must be sent. Otherwise it returns the result that says why not.
func (m Mail) unneeded(account Account) string {
	switch {
	case !m.Kind.hasLink():
		if m.Former || m.To == "" && account.Verified {
			return ""
		}
		return ResultUnverified
	case !account.Now.Before(m.Expires):
		return ResultExpired
	case !strings.EqualFold(m.To, account.Email), account.Disabled, m.Kind == EmailVerification && account.Verified:
		return ResultOutdated // the token is invalid or used
	default:
		return ""
	}
}

// storeFailed logs an error of the database. The reason of the outcome does not contain the error, because the reason is stored with the
// message.
func (m *Mailer) storeFailed(err error) outcome {
	m.cfg.Log.Warn("the database does not answer", "error", err)
	return retried("the database does not answer")
}

func (m *Mailer) claim(ctx context.Context, plan Mail) (claim Claim, state ClaimState, err error) {
	notice := plan.To
	if plan.Kind.hasLink() {
		notice = ""
	}
	claim, err = call(ctx, func(ctx context.Context) (Claim, error) {
		claim, state, err = m.store.ClaimMail(ctx, plan.Event, notice, StaleClaim)
		return claim, err
	})
	return claim, state, err
}

// send sends a claimed mail. It then marks the mail as sent, or releases the claim.
func (m *Mailer) send(ctx context.Context, plan Mail, text Text, claim Claim, first bool) outcome {
	began := time.Now()
	sending, span := m.tracer.Start(ctx, "send mail", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("mail.kind", string(plan.Kind))))
	err := m.transport.send(sending, newMessage(m.cfg.From, plan.To, plan, text), plan.Event.String(), first)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
	var failure *SendError
	allMails := errors.As(err, &failure) && failure.AllMails
	m.cfg.Observer.MailAttempted(time.Since(began), !allMails)
	if err == nil {
		m.mark(ctx, claim)
		return outcome{result: ResultSent}
	}
	if _, err := call(context.WithoutCancel(ctx), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, m.store.ReleaseMail(ctx, claim)
	}); err != nil { // a later attempt takes over the stale claim
		m.cfg.Log.Warn("the claim of a mail that was not sent can't be released", "event", plan.Event, "error", err)
	}
	if failure != nil && failure.Permanent {
		return parked("the mail server refuses the mail: " + failure.Reason)
	}
	return outcome{
		result: ResultRetried, reason: fmt.Sprintf("the mail server does not accept the mail: %v", err), deferred: !allMails,
	}
}

// mark stores that a mail was sent. It retries until ctx ends: without the mark, a duplicate of the event would be sent again.
func (m *Mailer) mark(ctx context.Context, claim Claim) {
	for delay := minMarkDelay; ; delay = min(2*delay, maxMarkDelay) {
		_, err := call(context.WithoutCancel(ctx), func(ctx context.Context) (struct{}, error) {
			return struct{}{}, m.store.MarkMailSent(ctx, claim)
		})
		if err == nil {
			return
		}
		m.cfg.Log.Warn("the database can't store that a mail was sent; retrying", "event", claim.Event, "error", err)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// call calls the store with a timeout of storeTimeout.
func call[T any](ctx context.Context, do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return do(ctx)
}
