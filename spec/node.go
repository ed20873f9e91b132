package spec

import (
	"fmt"
	"strings"
)

// A node is a value of a specification, whether it was written in JSON or in
// YAML.
type node struct {
	kind    nodeKind
	text    string // of a scalar; of an integer as it was written
	integer int64  // of an integer
	items   []*node
	members []member
	at      position
}

type nodeKind int

const (
	nullNode nodeKind = iota
	boolNode
	integerNode
	numberNode // any number but an integer of 64 bits
	stringNode
	listNode
	mappingNode
)

// member is a key of a mapping and its value.
type member struct {
	key   string
	at    position
	value *node
}

// position counts lines and columns, in characters, from 1.
type position struct{ line, column int }

func (p position) String() string { return fmt.Sprintf("%d:%d", p.line, p.column) }

// positionOf returns the position of a byte of data.
func positionOf(data []byte, offset int) position {
	before := string(data[:min(offset, len(data))])
	start := strings.LastIndexByte(before, '\n') + 1
	return position{strings.Count(before, "\n") + 1, len([]rune(before[start:])) + 1}
}

// describe names a value for "must be …, not …".
func (n *node) describe() string {
	switch n.kind {
	case nullNode:
		return "null"
	case boolNode, integerNode, numberNode:
		return map[nodeKind]string{boolNode: "the boolean ", integerNode: "the number ", numberNode: "the number "}[n.kind] + n.text
	case stringNode:
		return fmt.Sprintf("the string %q", n.text)
	case listNode:
		return "a list"
	default:
		return "a mapping"
	}
}

// syntaxError is what is wrong with a specification that cannot be read at
// all.
type syntaxError struct {
	at      position
	message string
}

func (e *syntaxError) Error() string { return e.message }

// nestingMax is how deep lists and mappings may nest. A specification needs
// three levels.
const nestingMax = 100
