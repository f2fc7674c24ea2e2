package main

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// contract resolves references in api/asyncapi.yaml, which refers to api/openapi.yaml.
type contract struct {
	asyncAPI, openAPI node
}

// node is a part of a document, in the order of the file. A node without a Node is absent.
type node struct {
	*yaml.Node

	root *yaml.Node // the root of the document
}

// document returns the root of a YAML text.
func document(text []byte) (node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return node{}, fmt.Errorf("read a contract: %w", err)
	}
	return node{doc.Content[0], doc.Content[0]}, nil
}

// member is a member of an object.
type member struct {
	name  string
	value node
}

func (n node) members() (all []member) {
	if n.Node == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(n.Content); i += 2 {
		all = append(all, member{n.Content[i].Value, node{n.Content[i+1], n.root}})
	}
	return all
}

func (n node) items() (all []node) {
	if n.Node == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	for _, item := range n.Content {
		all = append(all, node{item, n.root})
	}
	return all
}

// at returns the value at a path of member names.
func (n node) at(path ...string) node {
	for _, name := range path {
		next := node{}
		for _, m := range n.members() {
			if m.name == name {
				next = m.value
			}
		}
		n = next
	}
	return n
}

// text returns a scalar on one line.
func (n node) text() string {
	if n.Node == nil {
		return ""
	}
	return strings.Join(strings.Fields(n.Value), " ")
}

// resolve follows the references of a node. The name is the last part of the last reference.
func (c contract) resolve(n node) (target node, name string) {
	for {
		ref := n.at("$ref").text()
		if ref == "" {
			return n, name
		}
		file, pointer, _ := strings.Cut(ref, "#/")
		from := node{n.root, n.root}
		if file != "" {
			from = c.openAPI
		}
		path := strings.Split(pointer, "/")
		n, name = from.at(path...), path[len(path)-1]
	}
}

// field is a member of an object in a schema.
type field struct {
	name     string
	schema   node // may be a reference
	required bool
}

// fields returns the members of an object. A later part of allOf replaces the fields of an earlier part, in its place.
func (c contract) fields(schema node) []field {
	schema, _ = c.resolve(schema)
	var all []field
	for _, part := range append(schema.at("allOf").items(), schema) {
		part, _ = c.resolve(part)
		if part.Node != schema.Node {
			all = merge(all, c.fields(part))
			continue
		}
		var own []field
		for _, m := range schema.at("properties").members() {
			own = append(own, field{m.name, m.value, contains(schema.at("required"), m.name)})
		}
		all = merge(all, own)
	}
	return all
}

func merge(all, more []field) []field {
	for _, f := range more {
		known := false
		for i := range all {
			if all[i].name == f.name {
				all[i] = field{f.name, f.schema, all[i].required || f.required}
				known = true
			}
		}
		if !known {
			all = append(all, f)
		}
	}
	return all
}

func contains(list node, name string) bool {
	for _, item := range list.items() {
		if item.text() == name {
			return true
		}
	}
	return false
}
