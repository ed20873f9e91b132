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
	r := tree.Reader[uint32]{Corrupt: corrupt, Unsupported: unsupported, File: func(number uint32) (f tree.ReadFile[uint32], err error) {
		n, err := v.Node(number)
		if err != nil {
			return f, err
		}
		if f.Inode, err = v.treeInode(n); err != nil {
			return f, err
		}
		visit(f.Inode, n)
		f.Shared = n.Links > 1
		f.Entries = func() (names []tree.Numbered[uint32], err error) {
			for e, err := range v.Entries(n) {
				if err != nil {
					return nil, err
				}
				names = append(names, tree.Numbered[uint32]{Name: e.Name, Number: e.Inode})
			}
			return names, nil
		}
		return f, nil
	}}
	return r.Read(ctx, ondisk.InoRoot, "/")
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
