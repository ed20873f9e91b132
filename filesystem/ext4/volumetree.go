package ext4

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"diskwright/content"
	"diskwright/filesystem/ext4/ondisk"
	"diskwright/tree"
)

// Tree reads the metadata of all files and returns them as a tree, in which
// content is read when it is asked for. Names that lead to one inode lead to one
// in the tree. A directory with two names, and with that a cycle, is
// [ErrCorrupt].
func (v *Volume) Tree(ctx context.Context) (*tree.Inode, error) {
	return v.TreeFunc(ctx, func(*tree.Inode, *Node) {})
}

// TreeFunc is [Volume.Tree], and calls visit once for each inode with what a
// tree does not have of it.
func (v *Volume) TreeFunc(ctx context.Context, visit func(*tree.Inode, *Node)) (*tree.Inode, error) {
	w := &treeWalk{ctx: ctx, v: v, visit: visit, seen: make(map[uint32]*tree.Inode)}
	return w.inode(ondisk.InoRoot, "/")
}

type treeWalk struct {
	ctx   context.Context
	v     *Volume
	visit func(*tree.Inode, *Node)
	seen  map[uint32]*tree.Inode // directories, and files of several names
}

// inode returns the inode of that number, which path leads to, and all below.
func (w *treeWalk) inode(number uint32, path string) (*tree.Inode, error) {
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	i := w.seen[number]
	if i != nil && i.IsDir() {
		return nil, fmt.Errorf("%q: %w", path, corrupt("a directory with two names"))
	}
	if i != nil {
		return i, nil
	}
	n, err := w.v.Node(number)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	if i, err = w.v.treeInode(n); err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	if n.Links > 1 || n.IsDir() {
		w.seen[number] = i
	}
	w.visit(i, n)
	if n.IsDir() {
		return i, w.directory(n, i, path)
	}
	return i, nil
}

// pathMax bounds the depth of what a hostile image can make of one directory
// below another: nothing that was reached by a path is deeper.
const pathMax = 1 << 20

func (w *treeWalk) directory(n *Node, dir *tree.Inode, path string) error {
	if len(path) > pathMax {
		return unsupported("a path of more than %d bytes", pathMax)
	}
	var entries []DirEntry
	for e, err := range w.v.Entries(n) {
		if err != nil {
			return fmt.Errorf("%q: %w", path, err)
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b DirEntry) int { return strings.Compare(a.Name, b.Name) })
	dir.Entries = make([]tree.Entry, len(entries))
	for k, e := range entries {
		if k > 0 && entries[k-1].Name == e.Name {
			return fmt.Errorf("%q: %w", path, corrupt("%q is there twice", e.Name))
		}
		child, err := w.inode(e.Inode, strings.TrimSuffix(path, "/")+"/"+e.Name)
		if err != nil {
			return err
		}
		dir.Entries[k] = tree.Entry{Name: e.Name, Inode: child}
	}
	return nil
}

// Lookup returns the inode at path, as package tree has it, and its entries if it
// is a directory, but nothing below those. Symbolic links on the way are followed
// inside of the volume, and the last one if follow says so. What does not exist
// is [fs.ErrNotExist].
func (v *Volume) Lookup(path string, follow bool) (*tree.Inode, error) {
	n, err := v.find(path, follow)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	i, err := v.treeInode(n)
	if err != nil || !n.IsDir() {
		return i, err
	}
	for e, err := range v.Entries(n) {
		if err != nil {
			return nil, fmt.Errorf("%q: %w", path, err)
		}
		child, err := v.Node(e.Inode)
		if err != nil {
			return nil, fmt.Errorf("%q: %q: %w", path, e.Name, err)
		}
		inode, err := v.treeInode(child)
		if err != nil {
			return nil, fmt.Errorf("%q: %q: %w", path, e.Name, err)
		}
		i.Entries = append(i.Entries, tree.Entry{Name: e.Name, Inode: inode})
	}
	slices.SortFunc(i.Entries, func(a, b tree.Entry) int { return strings.Compare(a.Name, b.Name) })
	return i, nil
}

// find returns what is at a path.
func (v *Volume) find(path string, follow bool) (*Node, error) {
	root, err := v.Root()
	if err != nil {
		return nil, err
	}
	names := tree.Namespace[*Node]{
		IsDir: (*Node).IsDir,
		Child: func(dir *Node, name string) (*Node, error) {
			number, err := v.Find(dir, name)
			if err == nil && number == 0 {
				err = fs.ErrNotExist
			}
			if err != nil {
				return nil, err
			}
			return v.Node(number)
		},
		Target: func(n *Node) (string, bool, error) {
			if n.Mode&ondisk.ModeTypeMask != ondisk.ModeSymlink {
				return "", false, nil
			}
			target, err := v.Readlink(n)
			return string(target), true, err
		},
	}
	return names.Follow(root, path, follow)
}

// treeInode returns the inode as package tree has it, a directory without its
// entries.
func (v *Volume) treeInode(n *Node) (*tree.Inode, error) {
	i := &tree.Inode{Mode: uint32(n.Mode), UID: n.UID, GID: n.GID, Mtime: tree.Time(n.Mtime)}
	var err error
	switch i.Type() {
	case tree.TypeRegular:
		i.Content, err = v.Content(n)
	case tree.TypeSymlink:
		var target []byte
		target, err = v.Readlink(n)
		i.Content = content.Bytes(target)
	case tree.TypeChar, tree.TypeBlock:
		i.Major, i.Minor = n.Device()
	case tree.TypeDir, tree.TypeFIFO, tree.TypeSocket:
	default:
		return nil, corrupt("inode %d has mode %#o", n.Number, n.Mode)
	}
	if err != nil {
		return nil, err
	}
	i.Xattrs, err = v.Xattrs(n)
	return i, err
}
