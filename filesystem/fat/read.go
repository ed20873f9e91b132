package fat

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"diskwright/content"
	"diskwright/tree"
)

// maxPath is the longest path that Walk follows, in bytes. Windows has about
// the same limit.
const maxPath = 1 << 15

// DirEntry is a name in a directory that is read.
type DirEntry struct {
	// Name is the long name, or the short one if there is none. It is never
	// empty, "." or "..", and has no slash and no zero byte.
	Name  string
	Short string // the short name
	Dir   bool
	// ReadOnly says that it must not be written to, or removed.
	ReadOnly bool
	Size     int64 // of a file, in bytes
	Mtime    tree.Time

	root  bool
	first uint32 // cluster
}

// Root returns the entry of the root directory. It has no name and no time.
func (v *Volume) Root() DirEntry {
	return DirEntry{Dir: true, root: true, first: v.rootCluster}
}

// Lookup returns the entry at path. Components of the path are separated by
// slashes and found by their long or short names, whatever their case. What
// does not exist is [fs.ErrNotExist].
func (v *Volume) Lookup(path string) (DirEntry, error) {
	at := v.Root()
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." {
			continue
		}
		if !at.Dir {
			return DirEntry{}, fmt.Errorf("%q: %w", path, fs.ErrNotExist)
		}
		entries, err := v.List(at)
		if err != nil {
			return DirEntry{}, fmt.Errorf("%q: %w", path, err)
		}
		n := find(entries, name)
		if n < 0 {
			return DirEntry{}, fmt.Errorf("%q: %w", path, fs.ErrNotExist)
		}
		at = entries[n]
	}
	return at, nil
}

// find returns the place of the entry of that name, or -1.
func find(entries []DirEntry, name string) int {
	folded := foldName(name)
	for n, e := range entries {
		if foldName(e.Name) == folded || foldName(e.Short) == folded {
			return n
		}
	}
	return -1
}

// ReadDir returns the entries of the directory at path, in their order on
// disk.
func (v *Volume) ReadDir(path string) ([]DirEntry, error) {
	e, err := v.Lookup(path)
	if err != nil {
		return nil, err
	}
	entries, err := v.List(e)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	return entries, nil
}

// Open returns the content of the file at path.
func (v *Volume) Open(path string) (content.Source, error) {
	e, err := v.Lookup(path)
	if err != nil {
		return nil, err
	}
	src, err := v.Content(e)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	return src, nil
}

// Walk calls fn for everything below the root, directories before what is in
// them, names in their order on disk. The path begins with a slash. The first
// error ends the walk.
//
// A directory that is met twice, and with that a cycle, is [ErrCorrupt].
func (v *Volume) Walk(fn func(path string, e DirEntry) error) error {
	type frame struct {
		path    string
		entries []DirEntry
	}
	var (
		stack []frame
		seen  = make(map[uint32]bool) // first clusters
		met   int64                   // entries
	)
	descend := func(path string, e DirEntry) error {
		if seen[e.first] {
			return fmt.Errorf("%q: %w", path, corrupt("a directory with two names"))
		}
		seen[e.first] = true
		entries, err := v.List(e)
		if err != nil {
			return fmt.Errorf("%q: %w", path, err)
		}
		// Directories whose chains run into each other have more entries than
		// there is room for.
		if met += int64(len(entries)); met > v.size/dirEntrySize {
			return corrupt("its directories share clusters")
		}
		stack = append(stack, frame{path, entries})
		return nil
	}
	if err := descend("", v.Root()); err != nil {
		return err
	}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		if len(top.entries) == 0 {
			stack = stack[:len(stack)-1]
			continue
		}
		e := top.entries[0]
		top.entries = top.entries[1:]
		if len(top.path) > maxPath {
			return corrupt("a path of more than %d bytes", maxPath)
		}
		path := top.path + "/" + e.Name
		if err := fn(path, e); err != nil {
			return err
		}
		if e.Dir {
			if err := descend(path, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// Tree reads all directories and returns the files as a tree, in which content
// is read when it is asked for. FAT has no owners and no modes: all belongs to
// root, and may be read, and be written by the owner unless it is read-only.
func (v *Volume) Tree(ctx context.Context) (*tree.Inode, error) {
	root := tree.NewDir(tree.Time{})
	dirs := map[string]*tree.Inode{"": root}
	err := v.Walk(func(path string, e DirEntry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		i, err := v.inode(e)
		if err != nil {
			return fmt.Errorf("%q: %w", path, err)
		}
		if e.Dir {
			dirs[path] = i
		}
		dir := dirs[path[:strings.LastIndexByte(path, '/')]]
		if dir.Child(e.Name) != nil {
			return fmt.Errorf("%q: %w", path, corrupt("a name that is there twice"))
		}
		dir.SetChild(e.Name, i)
		return nil
	})
	return root, err
}

// LookupInode returns the inode at path as [Volume.Tree] has it, and its entries
// if it is a directory, but nothing below those.
func (v *Volume) LookupInode(path string) (*tree.Inode, error) {
	e, err := v.Lookup(path)
	if err != nil {
		return nil, err
	}
	i, err := v.inode(e)
	if err != nil || !e.Dir {
		return i, err
	}
	list, err := v.List(e)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	for _, child := range list {
		c, err := v.inode(child)
		if err != nil {
			return nil, fmt.Errorf("%q: %q: %w", path, child.Name, err)
		}
		i.SetChild(child.Name, c)
	}
	return i, nil
}

// inode returns the inode of an entry, a directory's without its entries.
func (v *Volume) inode(e DirEntry) (*tree.Inode, error) {
	i := tree.NewDir(e.Mtime)
	if !e.Dir {
		src, err := v.Content(e)
		if err != nil {
			return nil, err
		}
		i = tree.NewFile(src, e.Mtime)
	}
	if e.ReadOnly {
		i.Mode &^= 0o222
	}
	return i, nil
}
