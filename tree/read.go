package tree

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Reader makes a tree of the files of a file system, in which K is the number of a
// file. Names that lead to one file lead to one inode.
type Reader[K comparable] struct {
	// File reads a file.
	File func(number K) (ReadFile[K], error)
	// Corrupt and Unsupported make the errors of a file system that cannot be,
	// and of one that is more than is read.
	Corrupt, Unsupported func(format string, args ...any) error
}

// ReadFile is a file that a [Reader] has been given.
type ReadFile[K comparable] struct {
	Inode  *Inode // of a directory without its entries
	Shared bool   // whether other names may lead to it
	// Entries returns the names in a directory, in any order.
	Entries func() ([]Numbered[K], error)
}

// Numbered is a name in a directory and the number of the file that it leads to.
type Numbered[K comparable] struct {
	Name   string
	Number K
}

// maxReadPath bounds the depth of what a hostile image can make of one directory
// below another: nothing that was reached by a path is deeper.
const maxReadPath = 1 << 20

// Read returns the inode of a file, which path leads to, and all below. A directory
// with two names, and with that a cycle, is corrupt.
func (r Reader[K]) Read(ctx context.Context, number K, path string) (*Inode, error) {
	w := &reading[K]{Reader: r, ctx: ctx, seen: make(map[K]*Inode)}
	return w.file(number, path)
}

type reading[K comparable] struct {
	Reader[K]
	ctx  context.Context
	seen map[K]*Inode // directories, and files of several names
}

func (w *reading[K]) file(number K, path string) (*Inode, error) {
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	if i := w.seen[number]; i != nil {
		if i.IsDir() {
			return nil, fmt.Errorf("%q: %w", path, w.Corrupt("a directory with two names"))
		}
		return i, nil
	}
	f, err := w.File(number)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	isDir := f.Inode.IsDir()
	if f.Shared || isDir {
		w.seen[number] = f.Inode
	}
	if isDir {
		return f.Inode, w.directory(f, path)
	}
	return f.Inode, nil
}

func (w *reading[K]) directory(f ReadFile[K], path string) error {
	if len(path) > maxReadPath {
		return w.Unsupported("a path of more than %d bytes", maxReadPath)
	}
	names, err := f.Entries()
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	slices.SortFunc(names, func(a, b Numbered[K]) int { return strings.Compare(a.Name, b.Name) })
	f.Inode.Entries = make([]Entry, len(names))
	for k, e := range names {
		if k > 0 && names[k-1].Name == e.Name {
			return fmt.Errorf("%q: %w", path, w.Corrupt("%q is there twice", e.Name))
		}
		child, err := w.file(e.Number, strings.TrimSuffix(path, "/")+"/"+e.Name)
		if err != nil {
			return err
		}
		f.Inode.Entries[k] = Entry{e.Name, child}
	}
	return nil
}
