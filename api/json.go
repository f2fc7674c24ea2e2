package api

import (
	"bytes"
	"encoding/json"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"
)

// ToJSON converts YAML to JSON as toJSON does. Errors: raw is not valid YAML, or has a value that JSON does not have.
func ToJSON(raw []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	return toJSON(&doc)
}

// toJSON converts YAML to JSON and keeps the order of members. Documentation pages show operations and examples in this order.
func toJSON(doc *yaml.Node) ([]byte, error) {
	var out bytes.Buffer
	if err := write(jsontext.NewEncoder(&out), doc); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// find returns the value at a path of names in a document; nil if there is none.
func find(doc *yaml.Node, path ...string) *yaml.Node {
	node := doc.Content[0]
	for _, name := range path {
		if node = valueOf(node, name); node == nil {
			return nil
		}
	}
	return node
}

// valueOf returns a value of an object; nil if there is none.
func valueOf(object *yaml.Node, name string) *yaml.Node {
	for i := 1; i < len(object.Content); i += 2 { // names and values alternate
		if object.Content[i-1].Value == name {
			return object.Content[i]
		}
	}
	return nil
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
