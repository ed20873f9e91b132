package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// parseJSON reads a value as RFC 8259 has it.
func parseJSON(data []byte) (*node, error) {
	p := &jsonParser{data: data, decoder: json.NewDecoder(bytes.NewReader(data))}
	p.decoder.UseNumber()
	n, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if _, at, err := p.next(); err == nil {
		return nil, &syntaxError{positionOf(data, at), "there is something behind the end of the specification"}
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return n, nil
}

type jsonParser struct {
	data    []byte
	decoder *json.Decoder
}

// next returns the next token and the offset at which it starts. At the end it
// returns io.EOF.
func (p *jsonParser) next() (json.Token, int, error) {
	start := int(p.decoder.InputOffset())
	for start < len(p.data) && strings.IndexByte(" \t\r\n,:", p.data[start]) >= 0 {
		start++
	}
	token, err := p.decoder.Token()
	if errors.Is(err, io.EOF) {
		return nil, start, err
	}
	if err != nil {
		return nil, start, p.syntaxError(err, start)
	}
	if text, ok := token.(string); ok {
		raw := p.data[start:p.decoder.InputOffset()]
		if strings.ContainsRune(text, utf8.RuneError) && !bytes.ContainsRune(raw, utf8.RuneError) &&
			!bytes.Contains(bytes.ToLower(raw), []byte(`\ufffd`)) {
			return nil, start, &syntaxError{positionOf(p.data, start), "the string has an escape of half a character (an unpaired surrogate)"}
		}
	}
	return token, start, nil
}

// syntaxError says where the decoder found a mistake, as well as it knows.
func (p *jsonParser) syntaxError(err error, start int) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		start = max(start, int(syntax.Offset)-1) // inside a token it counts the offending byte
	}
	message := err.Error()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		start, message = len(p.data), "the specification ends too early"
	}
	return &syntaxError{positionOf(p.data, start), message}
}

// value reads a value that lies depth levels deep.
func (p *jsonParser) value(depth int) (*node, error) {
	token, start, err := p.next()
	if errors.Is(err, io.EOF) {
		return nil, p.syntaxError(io.ErrUnexpectedEOF, start)
	}
	if err != nil {
		return nil, err
	}
	n := &node{at: positionOf(p.data, start)}
	if depth > nestingMax {
		return nil, &syntaxError{n.at, "lists and mappings nest too deep"}
	}
	switch token := token.(type) {
	case nil:
		n.kind = nullNode
	case bool:
		n.kind, n.text = boolNode, "false"
		if token {
			n.text = "true"
		}
	case string:
		n.kind, n.text = stringNode, token
	case json.Number:
		n.kind, n.text = numberNode, token.String()
		if integer, err := token.Int64(); err == nil {
			n.kind, n.integer = integerNode, integer
		}
	case json.Delim:
		if token == '[' {
			return n, p.list(n, depth)
		}
		return n, p.mapping(n, depth)
	}
	return n, nil
}

func (p *jsonParser) list(n *node, depth int) error {
	n.kind = listNode
	for p.decoder.More() {
		item, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, _, err := p.next()
	return p.unexpectedEnd(err)
}

func (p *jsonParser) mapping(n *node, depth int) error {
	n.kind = mappingNode
	for p.decoder.More() {
		token, start, err := p.next()
		if err != nil {
			return p.unexpectedEnd(err)
		}
		key, ok := token.(string)
		if !ok {
			return &syntaxError{positionOf(p.data, start), "a key must be a string in quotes"}
		}
		value, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.members = append(n.members, member{key, positionOf(p.data, start), value})
	}
	_, _, err := p.next()
	return p.unexpectedEnd(err)
}

// unexpectedEnd makes an error of the end of the input inside a value.
func (p *jsonParser) unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return p.syntaxError(io.ErrUnexpectedEOF, len(p.data))
	}
	return err
}
