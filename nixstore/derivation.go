package nixstore

import (
	"errors"
	"fmt"
	"strings"

	"diskwright/content"
	"diskwright/tree"
)

// output is an output of a derivation: a name, usually "out", and a store path.
type output struct {
	name string
	path Path
}

// maxDerivation is larger than any .drv file. (Those of systems have some
// hundred kilobytes.)
const maxDerivation = 64 << 20

// outputsOf returns the outputs of the derivation at path in the tree, sorted
// by name, as Nix stores them in the database when it registers the path.
// Those whose path is only known once they are built have none.
func outputsOf(store *tree.Inode, path Path) ([]output, error) {
	var i *tree.Inode
	if store != nil {
		i = store.Child(path.Base())
	}
	if i == nil || !i.IsRegular() || i.Size() > maxDerivation {
		return nil, fmt.Errorf("%q is not a derivation, though its name says so", path)
	}
	text := make([]byte, i.Size())
	if i.Content != nil {
		if err := content.ReadFull(i.Content, text, 0); err != nil {
			return nil, fmt.Errorf("%q: %w", path, err)
		}
	}
	outputs, err := parseOutputs(string(text))
	if err != nil {
		return nil, fmt.Errorf("%q is not a derivation, though its name says so: %w", path, err)
	}
	return outputs, nil
}

// parseOutputs reads the beginning of a derivation, which is a term of this
// form (src/libstore/derivations.cc, parseDerivation):
//
//	Derive([("out","/nix/store/…","HASHALGO","HASH"),…],…
//	DrvWithVersion("xp-dyn-drv",[("out",…),…],…
func parseOutputs(text string) ([]output, error) {
	t := &term{rest: text}
	if strings.HasPrefix(text, "DrvWithVersion(") {
		t.expect("DrvWithVersion(")
		t.string()
		t.expect(",[")
	} else {
		t.expect("Derive([")
	}
	var outputs []output
	for t.err == nil && !t.accept("]") {
		if len(outputs) > 0 {
			t.expect(",")
		}
		t.expect("(")
		o := output{name: t.string()}
		t.expect(",")
		path := t.string()
		t.expect(",")
		t.string()
		t.expect(",")
		t.string()
		t.expect(")")
		if t.err == nil && path != "" {
			o.path, t.err = ParsePath(path)
		}
		if t.err == nil && len(outputs) > 0 && outputs[len(outputs)-1].name >= o.name {
			t.err = fmt.Errorf("output %q is not behind %q", o.name, outputs[len(outputs)-1].name)
		}
		outputs = append(outputs, o)
	}
	if t.err != nil {
		return nil, t.err
	}
	known := outputs[:0]
	for _, o := range outputs {
		if o.path != "" {
			known = append(known, o)
		}
	}
	return known, nil
}

// term is the rest of a term that is being read, up to the first error.
type term struct {
	rest string
	err  error
}

// accept skips s, if it is what comes next.
func (t *term) accept(s string) bool {
	if t.err != nil || !strings.HasPrefix(t.rest, s) {
		return false
	}
	t.rest = t.rest[len(s):]
	return true
}

// expect skips s.
func (t *term) expect(s string) {
	if t.err == nil && !t.accept(s) {
		t.err = fmt.Errorf("%q is expected where it has %q", s, t.rest[:min(len(t.rest), 20)])
	}
}

// string reads a quoted string.
func (t *term) string() string {
	t.expect(`"`)
	var b strings.Builder
	for t.err == nil {
		n := strings.IndexAny(t.rest, `"\`)
		if n < 0 || t.rest[n] == '\\' && n+1 == len(t.rest) {
			t.err = errors.New("it ends within a string")
			break
		}
		b.WriteString(t.rest[:n])
		if t.rest[n] == '"' {
			t.rest = t.rest[n+1:]
			return b.String()
		}
		b.WriteByte(unescape(t.rest[n+1]))
		t.rest = t.rest[n+2:]
	}
	return ""
}

// unescape returns what a backslash and c stand for.
func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}
