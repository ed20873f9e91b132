package nixstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// PathInfo is what is registered about a store path.
type PathInfo struct {
	Path       Path
	NarHash    Hash
	NarSize    int64  // bytes
	Deriver    Path   // empty if it is not known
	References []Path // sorted, without duplicates; the path itself may be one
}

// Closure is a set of paths that has, with a path, all its references. It is
// sorted by path. Make one with [NewClosure] or one of the From functions.
type Closure []PathInfo

// NewClosure sorts infos and checks them as a whole: every path is registered
// once, and every reference is among them. All problems are reported together.
// The slices of infos belong to the closure then.
func NewClosure(infos []PathInfo) (Closure, error) {
	c := Closure(infos)
	slices.SortFunc(c, func(a, b PathInfo) int { return strings.Compare(string(a.Path), string(b.Path)) })
	var problems []error
	for n := range c {
		if n > 0 && c[n].Path == c[n-1].Path {
			problems = append(problems, fmt.Errorf("%q is registered twice", c[n].Path))
		}
		if c[n].NarSize <= 0 {
			problems = append(problems, fmt.Errorf("%q is registered with a NAR of %d bytes: there are none of that size", c[n].Path, c[n].NarSize))
		}
		slices.Sort(c[n].References)
		c[n].References = slices.Compact(c[n].References)
	}
	if err := joinProblems(append(problems, c.dangling()...)); err != nil {
		return nil, err
	}
	return c, nil
}

// dangling returns an error for every path that is referred to but not there,
// with the first that refers to it.
func (c Closure) dangling() (problems []error) {
	present := c.index()
	reported := make(map[Path]bool)
	for n := range c {
		for _, ref := range c[n].References {
			if _, ok := present[ref]; !ok && !reported[ref] {
				reported[ref] = true
				problems = append(problems, fmt.Errorf("%q is missing from the closure: %q refers to it", ref, c[n].Path))
			}
		}
	}
	return problems
}

// index returns the place of every path.
func (c Closure) index() map[Path]int {
	index := make(map[Path]int, len(c))
	for n := range c {
		index[c[n].Path] = n
	}
	return index
}

// Find returns what is registered about a path, or nil.
func (c Closure) Find(p Path) *PathInfo {
	n, ok := slices.BinarySearchFunc(c, p, func(info PathInfo, p Path) int { return strings.Compare(string(info.Path), string(p)) })
	if !ok {
		return nil
	}
	return &c[n]
}

// NarSize returns the size of all NARs together, in bytes.
func (c Closure) NarSize() int64 {
	n := int64(0)
	for i := range c {
		n += c[i].NarSize
	}
	return n
}

// Reachable returns the part of the closure that is the closure of roots.
func (c Closure) Reachable(roots ...Path) (Closure, error) {
	index := c.index()
	reached := make([]bool, len(c))
	var todo []int
	reach := func(n int) {
		if !reached[n] {
			reached[n] = true
			todo = append(todo, n)
		}
	}
	var problems []error
	for _, root := range roots {
		if n, ok := index[root]; ok {
			reach(n)
		} else {
			problems = append(problems, fmt.Errorf("%q is missing from the closure", root))
		}
	}
	if err := joinProblems(problems); err != nil {
		return nil, err
	}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, ref := range c[n].References {
			reach(index[ref])
		}
	}
	var part Closure
	for n := range c {
		if reached[n] {
			part = append(part, c[n])
		}
	}
	return part, nil
}

// maxProblems is how many errors of one kind are worth reading.
const maxProblems = 20

// joinProblems makes one error of those that are not nil, in their order, or nil if
// there are none.
func joinProblems(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if more := len(errs) - maxProblems; more > 0 {
		errs = append(errs[:maxProblems:maxProblems], fmt.Errorf("and %d more", more))
	}
	return errors.Join(errs...)
}
