package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unicode/utf8"
)

// sizeMax bounds the bytes of a specification.
const sizeMax = 16 << 20

// Load reads the specification in the file at path, JSON or YAML. Relative
// paths in it start at the file's directory.
//
// What is wrong with the content is returned as [Problems], together with a
// Spec that has everything that could be read, so that its Validate can find
// the rest.
func Load(path string) (*Spec, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the specification: %w", err)
	}
	defer file.Close()
	return Read(file, path, filepath.Dir(path))
}

// Read is Load from a reader. Name is what problems call the source; relative
// paths start at dir, which may be "" for the working directory.
func Read(r io.Reader, name, dir string) (*Spec, error) {
	data, err := io.ReadAll(io.LimitReader(r, sizeMax+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the specification: %w", err)
	}
	d := &decoder{spec: New(), name: name, dir: dir}
	root, err := parse(data, name)
	if err != nil {
		var syntax *syntaxError
		if errors.As(err, &syntax) {
			d.fail(syntax.at, "", syntax)
		} else {
			d.problems = append(d.problems, Problem{Where: name, Err: err})
		}
		d.breakAll()
		return d.spec, d.problems
	}
	d.root(root)
	if len(d.problems) > 0 {
		return d.spec, d.problems
	}
	return d.spec, nil
}

// parse reads JSON if the file's name says so, or if the content looks like
// it where the name says nothing; YAML otherwise.
func parse(data []byte, name string) (*node, error) {
	if len(data) > sizeMax {
		return nil, fmt.Errorf("more than %d MiB are no specification", sizeMax>>20)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		return nil, &syntaxError{positionOf(data, invalidUTF8(data)), "this is not UTF-8"}
	}
	switch filepath.Ext(name) {
	case ".json":
		return parseJSON(data)
	case ".yaml", ".yml":
		return parseYAML(data)
	}
	if bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return parseJSON(data)
	}
	return parseYAML(data)
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8.
func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
	return len(data)
}
