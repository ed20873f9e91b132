package spec

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a specification.
type Problem struct {
	// Where is the place at which the value was given: "image.yaml:3:11", the
	// name of a flag or of an environment variable. It is empty where nobody
	// gave the value.
	Where string
	// Parameter is what is wrong, as in "bootSize" or "contents[2].mode". It
	// is empty for problems with the specification as a whole.
	Parameter string
	Err       error

	at position // in the specification's file, if it was given there
}

// Error returns the problem on one line.
func (p Problem) Error() string {
	var parts []string
	if p.Where != "" {
		parts = append(parts, p.Where)
	}
	if p.Parameter != "" && !strings.HasPrefix(p.Where, "--") {
		parts = append(parts, p.Parameter)
	}
	return strings.Join(append(parts, p.Err.Error()), ": ")
}

// Unwrap returns what is wrong.
func (p Problem) Unwrap() error { return p.Err }

// Problems is everything that is wrong with a specification: in the order of
// its file, then what was given elsewhere or not at all.
type Problems []Problem

// Error returns the problems, each on its line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the problems one by one.
func (p Problems) Unwrap() []error {
	list := make([]error, len(p))
	for i := range p {
		list[i] = p[i]
	}
	return list
}

// Join returns all problems in errs as one error, or nil if there are none.
// An error that is not of this package is a problem of its own.
func Join(errs ...error) error {
	var all Problems
	for _, err := range errs {
		var several Problems
		var one Problem
		switch {
		case err == nil:
		case errors.As(err, &several):
			all = append(all, several...)
		case errors.As(err, &one):
			all = append(all, one)
		default:
			all = append(all, Problem{Err: err})
		}
	}
	if len(all) == 0 {
		return nil
	}
	all.sort()
	return all
}

// sort brings the problems into the order of the file. Those without a
// position stay in their order behind the others.
func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		if a.at.line == 0 || b.at.line == 0 {
			return cmp.Compare(b.at.line, a.at.line) // line 0 is no position
		}
		return cmp.Or(cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.column, b.at.column))
	})
}
