package nixstore

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// FromClosureInfo reads the closure that a directory made by closureInfo of
// nixpkgs describes: the files registration and store-paths in it, which must
// agree.
func FromClosureInfo(dir string) (Closure, error) {
	registration := filepath.Join(dir, "registration")
	infos, err := parseFile(registration, ParseRegistration)
	if err != nil {
		return nil, err
	}
	c, err := NewClosure(infos)
	if err != nil {
		return nil, fmt.Errorf("%q:\n%w", registration, err)
	}
	storePaths := filepath.Join(dir, "store-paths")
	paths, err := parseFile(storePaths, parseStorePaths)
	if err != nil {
		return nil, err
	}
	if err := c.sameAs(paths); err != nil {
		return nil, fmt.Errorf("%q does not agree with %q:\n%w", storePaths, registration, err)
	}
	return c, nil
}

// sameAs checks that paths are those of the closure.
func (c Closure) sameAs(paths []Path) error {
	var problems []error
	listed := make(map[Path]bool, len(paths))
	for _, p := range paths {
		if listed[p] {
			problems = append(problems, fmt.Errorf("%q is listed twice", p))
		}
		listed[p] = true
		if c.Find(p) == nil {
			problems = append(problems, fmt.Errorf("%q is not registered", p))
		}
	}
	for n := range c {
		if !listed[c[n].Path] {
			problems = append(problems, fmt.Errorf("%q is not listed", c[n].Path))
		}
	}
	return joinProblems(problems)
}

// parseFile parses the file of the host at path.
func parseFile[T any](path string, parse func(r io.Reader, name string) (T, error)) (T, error) {
	f, err := os.Open(path)
	if err != nil {
		var none T
		return none, err
	}
	defer f.Close()
	return parse(f, path)
}

// ParseRegistration reads the text that nix-store --load-db reads, as
// closureInfo and nix-store --dump-db write it. For each path:
//
//	/nix/store/HASH-NAME   path
//	sha256:…               NAR hash, see [ParseHash]
//	816                    size of the NAR in bytes
//	                       deriver, or an empty line
//	2                      number of references
//	/nix/store/…           that many paths
//
// Every line ends in a newline. Errors name the line in the file called name.
func ParseRegistration(r io.Reader, name string) ([]PathInfo, error) {
	p := newLines(r)
	var infos []PathInfo
	for p.more() {
		infos = append(infos, p.pathInfo())
	}
	if p.err != nil {
		return nil, fmt.Errorf("%q: line %d: %w", name, p.line, p.err)
	}
	return infos, nil
}

// parseStorePaths reads a path from each line.
func parseStorePaths(r io.Reader, name string) ([]Path, error) {
	p := newLines(r)
	var paths []Path
	for p.more() {
		paths = append(paths, p.path())
	}
	if p.err != nil {
		return nil, fmt.Errorf("%q: line %d: %w", name, p.line, p.err)
	}
	return paths, nil
}

// lines parses a file line by line, up to the first error.
type lines struct {
	r    *bufio.Reader
	line int // number of the last line that was read
	err  error

	// known are the paths so far: each is named by all that refer to it,
	// but kept once.
	known map[string]Path
}

// maxLine is longer than anything that a line can have.
const maxLine = 512

func newLines(r io.Reader) *lines {
	return &lines{r: bufio.NewReaderSize(r, 64<<10), known: make(map[string]Path)}
}

// more reports whether there is another line, and no error so far.
func (p *lines) more() bool {
	if p.err != nil {
		return false
	}
	_, err := p.r.Peek(1)
	if err != nil && err != io.EOF {
		p.err = err
	}
	return err == nil
}

// next returns the next line, which must be there. It is valid until the next
// call.
func (p *lines) next(what string) []byte {
	if p.err != nil {
		return nil
	}
	p.line++
	line, err := p.r.ReadSlice('\n')
	switch {
	case err == io.EOF && len(line) == 0:
		p.err = fmt.Errorf("the file ends where %s is expected", what)
	case err == io.EOF:
		p.err = errors.New("the file ends within the line")
	case err == bufio.ErrBufferFull || err == nil && len(line) > maxLine:
		p.err = fmt.Errorf("%s of more than %d bytes", what, maxLine)
	case err != nil:
		p.err = err
	default:
		return line[:len(line)-1]
	}
	return nil
}

// pathInfo reads a record.
func (p *lines) pathInfo() PathInfo {
	info := PathInfo{Path: p.path(), NarHash: p.hash(), NarSize: p.number("the size of the NAR")}
	info.Deriver = p.optionalPath("the deriver or an empty line")
	count := p.number("the number of references")
	for n := int64(0); n < count && p.err == nil; n++ {
		info.References = append(info.References, p.path())
	}
	if p.err == nil {
		slices.Sort(info.References)
		if distinct := slices.Compact(info.References); len(distinct) != int(count) {
			p.err = fmt.Errorf("%q has a reference twice", info.Path)
		}
	}
	return info
}

// path reads a store path.
func (p *lines) path() Path {
	return p.parsePath(p.next("a store path"))
}

// optionalPath reads a store path or an empty line.
func (p *lines) optionalPath(what string) Path {
	line := p.next(what)
	if len(line) == 0 {
		return ""
	}
	return p.parsePath(line)
}

func (p *lines) parsePath(line []byte) Path {
	if p.err != nil {
		return ""
	}
	if path, ok := p.known[string(line)]; ok {
		return path
	}
	path, err := ParsePath(string(line))
	if err != nil {
		p.err = err
		return ""
	}
	p.known[string(path)] = path
	return path
}

// hash reads a NAR hash.
func (p *lines) hash() (h Hash) {
	line := p.next("a NAR hash")
	if p.err == nil {
		h, p.err = ParseHash(string(line))
	}
	return h
}

// number reads a decimal number that is not negative.
func (p *lines) number(what string) int64 {
	line := p.next(what)
	if p.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(line), 10, 64)
	if err != nil || line[0] < '0' || line[0] > '9' {
		p.err = fmt.Errorf("%s is %q: want a decimal number", what, shorten(string(line)))
		return 0
	}
	return n
}
