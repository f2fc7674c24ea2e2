package httpapi

import (
	"net/http"
	"net/url"

	"github.com/google/uuid"

	"user-service/pkg/user"
)

// auditPage is one page of the audit trail.
type auditPage struct {
	Items      []user.AuditEvent `json:"items"`
	NextCursor string            `json:"next_cursor,omitempty"`
}

func (a *API) listAuditEvents(w http.ResponseWriter, c *call) error {
	filter, err := readAuditFilter(c)
	if err != nil {
		return err
	}
	page, err := a.users.AuditEvents(c.Context(), filter)
	if err != nil {
		return err
	}
	out := auditPage{Items: append([]user.AuditEvent{}, page.Events...)}
	if page.More {
		out.NextCursor = encodeCursor(page.Events[len(page.Events)-1].ID)
	}
	noStore(w)
	return writeJSON(w, http.StatusOK, out)
}

func readAuditFilter(c *call) (f user.AuditFilter, err error) {
	query, err := readQuery(c.URL.RawQuery, "limit", "cursor", "user_id", "action")
	if err != nil {
		return f, err
	}
	f.Action = user.Action(query.Get("action"))
	if f.UserID, err = readUserID(c, query); err != nil {
		return f, err
	}
	if f.Limit, err = readLimit(query); err != nil {
		return f, err
	}
	f.Before, err = decodeCursor(query.Get("cursor"))
	return f, err
}

func readUserID(c *call, query url.Values) (id uuid.NullUUID, err error) {
	switch text := query.Get("user_id"); text {
	case "":
		return id, nil
	case "me":
		if c.by.Workload != "" {
			return id, errNotUser()
		}
		id.UUID = c.by.UserID
	default:
		id.UUID, err = parseID(text)
	}
	id.Valid = true
	return id, err
}
