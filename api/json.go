package api

import (
	"bytes"
	"encoding/json"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"
)

// ToJSON converts YAML to JSON and keeps the order of members. Documentation pages show operations and examples in this order. Errors: raw is
// not valid YAML, or has a value that JSON does not have.
func ToJSON(raw []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := write(jsontext.NewEncoder(&out), &doc); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func write(enc *jsontext.Encoder, node *yaml.Node) error {
	switch node.Kind {
	case yaml.DocumentNode:
		return write(enc, node.Content[0])
	case yaml.AliasNode:
		return write(enc, node.Alias)
	case yaml.MappingNode: // names and values alternate, as the encoder expects
		return writeAll(enc, jsontext.BeginObject, node.Content, jsontext.EndObject)
	case yaml.SequenceNode:
		return writeAll(enc, jsontext.BeginArray, node.Content, jsontext.EndArray)
	default:
		return writeScalar(enc, node)
	}
}

func writeAll(enc *jsontext.Encoder, begin jsontext.Token, nodes []*yaml.Node, end jsontext.Token) error {
	if err := enc.WriteToken(begin); err != nil {
		return err
	}
	for _, node := range nodes {
		if err := write(enc, node); err != nil {
			return err
		}
	}
	return enc.WriteToken(end)
}

func writeScalar(enc *jsontext.Encoder, node *yaml.Node) error {
	var value any
	if err := node.Decode(&value); err != nil {
		return err
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return enc.WriteValue(raw)
}
