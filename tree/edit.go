package tree

import (
	"fmt"
	"slices"
	"strings"
)

// ClampTimes makes no modification time below root, root included, later than
// latest. That is what SOURCE_DATE_EPOCH asks for.
func ClampTimes(root *Inode, latest Time) {
	clamp := func(i *Inode) {
		if latest.Before(i.Mtime) {
			i.Mtime = latest
		}
	}
	clamp(root)
	eachDir(root, func(dir *Inode) {
		for _, e := range dir.Entries {
			clamp(e.Inode)
		}
	})
}

// Usage returns what the size of a disk is computed from: the number of
// blocks of 4096 bytes that the content of everything but directories would
// fill, holes included, and the number of entries, "." of the root included.
// With countLinks a file counts once for each of its names.
//
// These are the numbers of
//
//	find . ! -type d -print0 | du --files0-from=- --apparent-size --block-size 4096 [--count-links]
//	find . | wc -l
//
// where names have no newlines.
func Usage(root *Inode, countLinks bool) (blocks, entries int64) {
	const blockSize = 4096
	entries = 1
	for _, i := range Number(root) {
		if i.IsDir() {
			entries += int64(len(i.Entries))
			continue
		}
		n := (i.Size() + blockSize - 1) / blockSize
		if countLinks {
			n *= int64(i.Links)
		}
		blocks += n
	}
	return blocks, entries
}

// Split cuts what lies below the directory at path, a mount point, out of the
// tree and returns it as a tree of its own. An empty directory stays; its
// copy is the root of the result. If there is none it is made (see
// [MakeDir]), and the result is empty.
//
// A file with names on both sides becomes two files: hard links do not cross
// file systems. Content is shared.
func Split(root *Inode, path string, epoch Time) (*Inode, error) {
	dir, err := MakeDir(root, path, epoch)
	if err != nil {
		return nil, err
	}
	if dir == root {
		return nil, fmt.Errorf("%q is the root: it cannot be cut out of itself", path)
	}
	cut := *dir
	cut.Xattrs = slices.Clone(dir.Xattrs)
	dir.Entries = nil
	unlink(&cut, root)
	return &cut, nil
}

// unlink replaces the inodes of tree that are also in other by copies.
func unlink(tree, other *Inode) {
	within := make(map[*Inode]*Inode) // of tree, to their copies, made on demand
	eachFile(tree, func(e *Entry) { within[e.Inode] = nil })
	if len(within) == 0 {
		return
	}
	shared := false
	eachFile(other, func(e *Entry) {
		if made, ok := within[e.Inode]; ok && made == nil {
			twin := *e.Inode
			within[e.Inode], shared = &twin, true
		}
	})
	if !shared {
		return
	}
	eachFile(tree, func(e *Entry) {
		if twin := within[e.Inode]; twin != nil {
			e.Inode = twin
		}
	})
}

// eachFile calls f for every entry below root that is not a directory.
func eachFile(root *Inode, f func(e *Entry)) {
	eachDir(root, func(dir *Inode) {
		for n := range dir.Entries {
			if !dir.Entries[n].Inode.IsDir() {
				f(&dir.Entries[n])
			}
		}
	})
}

// MakeDir returns the directory at path below root. It and those above it are
// made where they are missing: 0755, owned by root, modified at epoch. Paths
// are taken as in [Graft].
func MakeDir(root *Inode, path string, epoch Time) (*Inode, error) {
	names, err := splitTarget(path)
	if err != nil {
		return nil, err
	}
	r := resolver{root: root, epoch: epoch}
	return r.dir(path, names)
}

// PutFile makes path lead to file, whatever it led to before. Directories
// above it are made where they are missing, as by [MakeDir]. The file must
// not be in a tree already, unless a hard link is what is wanted.
func PutFile(root *Inode, path string, file *Inode, epoch Time) error {
	names, err := splitTarget(path)
	if err != nil {
		return err
	}
	if len(names) == 0 || strings.HasSuffix(path, "/") {
		return fmt.Errorf("%q is the path of a directory, not of a file", path)
	}
	last := len(names) - 1
	r := resolver{root: root, epoch: epoch}
	dir, err := r.dir(path, names[:last])
	if err != nil {
		return err
	}
	dir.SetChild(names[last], file)
	return nil
}
