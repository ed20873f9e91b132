package spec

import (
	"errors"
	"fmt"
	"strings"
)

// SetFlag gives a parameter the value of its flag: one text, or for a list one
// for each time that the flag was given. The flag replaces what the
// specification says. Relative paths start at the working directory. The empty
// text is null where that is allowed, and alone the empty list of a list.
func (s *Spec) SetFlag(p Parameter, texts []string) error {
	known := lookup(p.Name)
	if known == nil || len(texts) == 0 {
		return fmt.Errorf("no value for the parameter %q", p.Name)
	}
	flag := "--" + known.Flag()
	s.forget(known.Name)
	s.setOrigin(known.Name, place{name: flag})
	d := &decoder{spec: s, name: flag, flag: true}
	n, err := flagNode(known, texts)
	if err != nil {
		d.fail(position{}, known.Name, err)
	} else {
		d.assign(known, n)
	}
	if len(d.problems) > 0 {
		return d.problems
	}
	return nil
}

// forget drops what is known of a parameter's value, and of what is in it.
func (s *Spec) forget(parameter string) {
	inside := func(name string) bool {
		return name == parameter || strings.HasPrefix(name, parameter+"[") || strings.HasPrefix(name, parameter+".")
	}
	for name := range s.origin {
		if inside(name) {
			delete(s.origin, name)
		}
	}
	for name := range s.broken {
		if inside(name) {
			delete(s.broken, name)
		}
	}
}

// flagNode makes the node that a specification would have had.
func flagNode(p *Parameter, texts []string) (*node, error) {
	if p.isMapping() {
		return mappingNodeOf(p, texts)
	}
	if !p.isList() {
		text := texts[len(texts)-1]
		if p.Kind == KindBootLoader && strings.HasPrefix(text, "{") {
			return jsonNode(text)
		}
		return scalarNode(p, text), nil
	}
	list := &node{kind: listNode}
	if len(texts) == 1 && texts[0] == "" {
		return list, nil
	}
	for _, text := range texts {
		item := &node{kind: stringNode, text: text}
		if p.Kind == KindContents {
			var err error
			if item, err = contentNode(text); err != nil {
				return nil, err
			}
		}
		list.items = append(list.items, item)
	}
	return list, nil
}

func scalarNode(p *Parameter, text string) *node {
	n := &node{kind: stringNode, text: text}
	switch {
	case p.Nullable && (text == "" || p.Name == "rootFSUID" && text == Null):
		n.kind = nullNode
		if text == "" && p.Name == "rootFSUID" {
			n.kind = stringNode // back to the default
		}
	case p.Kind == KindBool && (text == "true" || text == "false"):
		n.kind = boolNode
	case p.Kind == KindInteger || p.Kind == KindMiB:
		if integer, err := parseJSON([]byte(text)); err == nil && integer.kind == integerNode {
			return integer
		}
	}
	return n
}

// mappingNodeOf makes the node of a mapping: a JSON object, or one that has an
// element for each text.
func mappingNodeOf(p *Parameter, texts []string) (*node, error) {
	if len(texts) == 1 && strings.HasPrefix(texts[0], "{") {
		return jsonNode(texts[0])
	}
	n := &node{kind: mappingNode}
	if len(texts) == 1 && texts[0] == "" {
		return n, nil
	}
	for _, text := range texts {
		m, err := propertyMember(text)
		if p.Kind == KindDatasets {
			m, err = datasetMember(text)
		}
		if err != nil {
			return nil, err
		}
		n.members = append(n.members, m)
	}
	return n, nil
}

// propertyMember reads NAME=VALUE.
func propertyMember(text string) (member, error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		return member{}, fmt.Errorf("%q is not NAME=VALUE", text)
	}
	return member{name, position{}, &node{kind: stringNode, text: value}}, nil
}

// datasetMember reads NAME[,mount=PATH][,PROPERTY=VALUE…].
func datasetMember(text string) (member, error) {
	name, rest, more := strings.Cut(text, ",")
	properties := &node{kind: mappingNode}
	dataset := &node{kind: mappingNode, members: []member{{"properties", position{}, properties}}}
	for more {
		var field string
		field, rest, more = strings.Cut(rest, ",")
		m, err := propertyMember(field)
		if err != nil {
			return m, fmt.Errorf("%q: %w; it must be NAME,mount=PATH,PROPERTY=VALUE, without what is not needed (or a JSON object of all datasets, where a value holds a comma)", text, err)
		}
		if m.key == "mount" {
			dataset.members = append(dataset.members, m)
		} else {
			properties.members = append(properties.members, m)
		}
	}
	return member{name, position{}, dataset}, nil
}

// jsonNode reads a JSON object.
func jsonNode(text string) (*node, error) {
	n, err := parse([]byte(text), ".json")
	var syntax *syntaxError
	if errors.As(err, &syntax) {
		return nil, fmt.Errorf("%q is not JSON: character %d: %w", text, syntax.at.column, err)
	}
	return n, err
}

// contentNode reads source=PATH,target=PATH,… or a JSON object.
func contentNode(text string) (*node, error) {
	if strings.HasPrefix(text, "{") {
		return jsonNode(text)
	}
	n := &node{kind: mappingNode}
	for field := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(field, "=")
		if !ok {
			return nil, fmt.Errorf("%q has %q, which is not key=value; it must be source=PATH,target=PATH, perhaps "+
				"with mode=, user= and group= (or a JSON object, where a path holds a comma)", text, field)
		}
		n.members = append(n.members, member{key, position{}, &node{kind: stringNode, text: value}})
	}
	return n, nil
}
