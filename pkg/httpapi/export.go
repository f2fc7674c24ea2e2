package httpapi

import (
	"bytes"
	"net/http"
	"time"

	"github.com/google/uuid"

	"user-service/pkg/user"
)

// exportPage is the number of audit entries that an export reads at a time.
const exportPage = 100

// userExport is the first part of an export. The member audit_events follows.
type userExport struct {
	User              user.User              `json:"user"`
	PasswordChangedAt *time.Time             `json:"password_changed_at,omitempty"`
	Sessions          []exportedSession      `json:"sessions"`
	Networks          []user.LoginNetwork    `json:"login_networks"`
	Tokens            []user.IssuedToken     `json:"one_time_tokens"`
	Factors           []factorItem           `json:"factors"`
	RecoveryCodesLeft int                    `json:"recovery_codes_left"`
	Challenges        []user.IssuedChallenge `json:"login_challenges"`
}

// exportedSession is a session in an export.
type exportedSession struct {
	sessionItem
	AMR      []string  `json:"amr"`
	AuthTime time.Time `json:"auth_time"`
}

func exportedSessions(sessions []user.Session, current uuid.UUID) []exportedSession {
	out := make([]exportedSession, len(sessions))
	for i, item := range sessionItems(sessions, current) {
		out[i] = exportedSession{item, append([]string{}, sessions[i].AMR...), sessions[i].AuthTime}
	}
	return out
}

// exportUser streams what is stored about a user. It reads the audit entries page by page, and holds no connection to the database while
// the client reads. After a failure in the middle, it breaks the connection, so that the client does not take the part for the whole.
func (a *API) exportUser(w http.ResponseWriter, c *call) error {
	stored, err := a.users.Export(c.Context(), c.target)
	if err != nil {
		return err
	}
	page, err := a.users.ExportAudit(c.Context(), c.target, uuid.Nil, exportPage)
	if err != nil {
		return err
	}
	head, err := encodeExport(stored, c.by.SessionID)
	if err != nil {
		return err
	}
	noStore(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	if c.Method == http.MethodHead {
		return nil
	}
	if err := a.streamAudit(w, c, head, page); err != nil {
		a.log.WarnContext(c.Context(), "an export ended early", "error", err)
		_ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0))
	}
	return nil
}

// encodeExport returns the JSON of the first part, up to the first audit entry.
func encodeExport(stored user.Export, current uuid.UUID) ([]byte, error) {
	out := userExport{
		User: stored.User, Sessions: exportedSessions(stored.Sessions, current),
		Networks: append([]user.LoginNetwork{}, stored.Networks...), Tokens: append([]user.IssuedToken{}, stored.Tokens...),
		Factors: factorItems(stored.Factors.All), RecoveryCodesLeft: len(stored.Factors.RecoveryCodes),
		Challenges: append([]user.IssuedChallenge{}, stored.Challenges...),
	}
	if !stored.PasswordChangedAt.IsZero() {
		out.PasswordChangedAt = &stored.PasswordChangedAt
	}
	head, err := encodeJSON(out)
	if err != nil {
		return nil, err
	}
	return append(bytes.TrimSuffix(head, []byte("}\n")), `,"audit_events":[`...), nil
}

// streamAudit sends the rest of an export. Each page has the time of a request, and the client the time of a response to read it.
func (a *API) streamAudit(w http.ResponseWriter, c *call, part []byte, page user.AuditPage) error {
	client := http.NewResponseController(w)
	for first := true; ; first = false {
		for i, e := range page.Events {
			entry, err := encodeJSON(e)
			if err != nil {
				return err
			}
			if !first || i > 0 {
				part = append(part, ',')
			}
			part = append(part, entry...)
		}
		if !page.More {
			part = append(part, "]}\n"...)
		}
		_ = client.SetWriteDeadline(time.Now().Add(writeTimeout)) // not supported by some writers of tests
		if _, err := w.Write(part); err != nil || !page.More {
			return err
		}
		if err := client.Flush(); err != nil {
			return err
		}
		c.restartTimeout()
		if err := a.reauthorize(c); err != nil {
			return err
		}
		var err error
		if page, err = a.users.ExportAudit(c.Context(), c.target, page.Events[len(page.Events)-1].ID, exportPage); err != nil {
			return err
		}
		part = part[:0]
	}
}
