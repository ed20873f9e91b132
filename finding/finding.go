// Package finding collects what a check of an image finds wrong.
//
// A check goes on after the first finding, and a damaged table of a million
// entries has a million of them: a [List] keeps the first few of each kind and
// counts the others.
package finding

import (
	"fmt"
	"sync"
)

// Finding is something that is wrong.
type Finding struct {
	// Kind classifies it, for programs: "block-bitmap", "link-count", …
	Kind string `json:"kind"`
	// Where it is: "inode 12", "group 3", "/boot/grub/grub.cfg".
	Where string `json:"where"`
	// Detail says, for people, what is there and what should be.
	Detail string `json:"detail"`
}

func (f Finding) String() string {
	if f.Where == "" {
		return f.Detail
	}
	return f.Where + ": " + f.Detail
}

// PerKind is how many findings of one kind a list keeps.
const PerKind = 20

// List collects findings. Its zero value is an empty list; it is safe for
// concurrent use.
type List struct {
	mu     sync.Mutex
	kept   []Finding
	counts map[string]int64
	total  int64
}

// Add adds a finding, whose detail is made as by Sprintf.
func (l *List) Add(kind, where, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = make(map[string]int64)
	}
	l.total++
	l.counts[kind]++
	if l.counts[kind] <= PerKind {
		l.kept = append(l.kept, Finding{kind, where, fmt.Sprintf(format, args...)})
	}
}

// Total returns how many findings there were.
func (l *List) Total() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// Findings returns those that were kept, in the order of their discovery, and how
// many of each kind were not.
func (l *List) Findings() (kept []Finding, omitted map[string]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for kind, n := range l.counts {
		if n > PerKind {
			if omitted == nil {
				omitted = make(map[string]int64)
			}
			omitted[kind] = n - PerKind
		}
	}
	return append([]Finding(nil), l.kept...), omitted
}
