package spec

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// parseYAML reads a document of YAML 1.2. Anchors and aliases work; tags and
// merge keys, which a specification has no use for, are refused.
func parseYAML(data []byte) (n *node, err error) {
	if err := checkNesting(data); err != nil {
		return nil, err
	}
	defer func() { // the parser is not ours
		if r := recover(); r != nil {
			n, err = nil, &syntaxError{position{1, 1}, fmt.Sprintf("this is not YAML (the parser gave up: %v)", r)}
		}
	}()
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, yamlError(err)
	}
	var root *node
	c := &yamlConverter{anchors: map[string]*node{}}
	for _, document := range file.Docs {
		if document.Body == nil {
			continue
		}
		if root != nil {
			return nil, &syntaxError{yamlPosition(document.Body.GetToken()), "there is a second document; a specification is one"}
		}
		if root, err = c.convert(document.Body, 0); err != nil {
			return nil, err
		}
	}
	if root == nil {
		root = &node{kind: mappingNode, at: position{1, 1}}
	}
	return root, nil
}

// checkNesting refuses what would exhaust the stack of a recursive parser. It
// need not be exact: no specification comes near.
func checkNesting(data []byte) error {
	depth, dashes := 0, 0
	for i, c := range data {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		}
		switch c {
		case '-', '?', ':':
			dashes++
		case ' ':
		default:
			dashes = 0
		}
		if depth > 10*nestingMax || dashes > 10*nestingMax {
			return &syntaxError{positionOf(data, i), "lists and mappings nest too deep"}
		}
	}
	return nil
}

// yamlError takes the position and the sentence out of the parser's error,
// which is a picture of the source.
func yamlError(err error) error {
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) {
		return &syntaxError{yamlPosition(syntax.Token), syntax.Message}
	}
	return &syntaxError{position{1, 1}, err.Error()}
}

func yamlPosition(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{1, 1}
	}
	return position{t.Position.Line, t.Position.Column}
}

type yamlConverter struct {
	anchors map[string]*node
}

// convert makes a node of what the parser made, depth levels deep.
func (c *yamlConverter) convert(from ast.Node, depth int) (*node, error) {
	if from == nil {
		return &node{kind: nullNode, at: position{1, 1}}, nil
	}
	n := &node{at: yamlPosition(from.GetToken()), text: from.GetToken().Value}
	if depth > nestingMax {
		return nil, &syntaxError{n.at, "lists and mappings nest too deep"}
	}
	switch from := from.(type) {
	case *ast.NullNode:
		n.kind = nullNode
	case *ast.BoolNode:
		n.kind = boolNode
		n.text = fmt.Sprint(from.Value)
	case *ast.IntegerNode:
		n.kind = integerNode
		switch value := from.Value.(type) {
		case int64:
			n.integer = value
		case uint64:
			n.integer = int64(value)
			if value > math.MaxInt64 {
				n.kind = numberNode
			}
		default:
			n.kind = numberNode
		}
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		n.kind = numberNode
	case *ast.StringNode:
		n.kind, n.text = stringNode, from.Value
	case *ast.LiteralNode:
		n.kind, n.text = stringNode, from.Value.Value
	case *ast.SequenceNode:
		n.kind = listNode
		for _, value := range from.Values {
			item, err := c.convert(value, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
	case *ast.MappingNode:
		return n, c.mapping(n, depth, from.Values)
	case *ast.MappingValueNode:
		return n, c.mapping(n, depth, []*ast.MappingValueNode{from})
	case *ast.AnchorNode:
		return c.anchor(from, depth)
	case *ast.AliasNode:
		name := from.Value.GetToken().Value
		target, ok := c.anchors[name]
		if !ok {
			return nil, &syntaxError{n.at, fmt.Sprintf("there is no anchor &%s before this", name)}
		}
		return target, nil
	case *ast.TagNode:
		return nil, &syntaxError{n.at, fmt.Sprintf("tags such as %s are not supported; put strings into quotes", from.Start.Value)}
	default:
		return nil, &syntaxError{n.at, "this part of YAML is not supported in a specification"}
	}
	return n, nil
}

func (c *yamlConverter) anchor(from *ast.AnchorNode, depth int) (*node, error) {
	n, err := c.convert(from.Value, depth+1)
	if err == nil {
		c.anchors[from.Name.GetToken().Value] = n
	}
	return n, err
}

func (c *yamlConverter) mapping(n *node, depth int, values []*ast.MappingValueNode) error {
	n.kind = mappingNode
	for i, pair := range values {
		at := yamlPosition(pair.Key.GetToken())
		if i == 0 && !strings.HasPrefix(n.text, "{") {
			n.at = at // the parser has the colon
		}
		key, ok := pair.Key.(ast.ScalarNode)
		if !ok || pair.Key.IsMergeKey() {
			return &syntaxError{at, "a key must be a plain name (no merge keys, no \"? \")"}
		}
		value, err := c.convert(pair.Value, depth+1)
		if err != nil {
			return err
		}
		n.members = append(n.members, member{fmt.Sprint(key.GetValue()), at, value})
	}
	return nil
}
