package mail

import "encoding/json"

// kept has the members of an event that another attempt needs. It copies their values unchanged.
type kept struct {
	ID      json.RawMessage `json:"id,omitempty"`
	Type    json.RawMessage `json:"type,omitempty"`
	Subject json.RawMessage `json:"subject,omitempty"`
	Time    json.RawMessage `json:"time,omitempty"`
	Data    *keptData       `json:"data,omitempty"`
}

type keptData struct {
	User     *keptUser       `json:"user,omitempty"`
	Token    json.RawMessage `json:"token,omitempty"`
	Expires  json.RawMessage `json:"expires_at,omitempty"`
	Changed  json.RawMessage `json:"changed,omitempty"`
	Previous *keptUser       `json:"previous,omitempty"`
	Factor   *struct {
		Type json.RawMessage `json:"type,omitempty"`
	} `json:"factor,omitempty"`
	By json.RawMessage `json:"by,omitempty"`
}

type keptUser struct {
	Email    json.RawMessage `json:"email,omitempty"`
	Verified json.RawMessage `json:"email_verified,omitempty"`
}

// Reduce returns an event without the members that no mail needs, such as the name and the metadata of the user. ForEvent returns the same
// mail for the reduced event as for the full one. If the data of an event can't be read, Reduce removes the data. It returns a message that
// is not a JSON object unchanged.
func Reduce(body []byte) []byte {
	var event struct {
		kept

		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(body, &event) != nil {
		return body
	}
	var data keptData
	if json.Unmarshal(event.Data, &data) == nil {
		event.kept.Data = &data
	}
	reduced, err := json.Marshal(event.kept)
	if err != nil {
		return body
	}
	return reduced
}
