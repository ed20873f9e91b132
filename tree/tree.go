// Package tree is the file tree that every file system is planned from.
//
// A tree holds metadata only: directories, names, modes, owners, times,
// extended attributes, and content that points at where its bytes are
// (package content). Nothing is read until somebody emits the result.
//
// # Vocabulary
//
// An [Inode] is a file of any type. A directory's inode has [Entry] values,
// names that lead to inodes. Two entries that lead to the same *Inode are hard
// links. Names and link targets are bytes, not text: they need not be UTF-8.
//
// # Where trees come from
//
//	directory ── FromDir ──┐
//	tar ──────── FromTar ──┼─► *Inode ─ Graft(contents) ─ PutFile ─ ClampTimes ─ Split(/boot) ─► file systems
//	memory ───── NewDir ───┘
package tree

import (
	"strings"

	"diskwright/content"
)

// File types, the upper bits of [Inode.Mode], with the values of POSIX
// systems (and of ext4 and tar).
const (
	TypeMask    uint32 = 0o170000
	TypeSocket  uint32 = 0o140000
	TypeSymlink uint32 = 0o120000
	TypeRegular uint32 = 0o100000
	TypeBlock   uint32 = 0o060000
	TypeDir     uint32 = 0o040000
	TypeChar    uint32 = 0o020000
	TypeFIFO    uint32 = 0o010000

	// PermMask is what chmod can set: permissions, setuid, setgid, sticky.
	PermMask uint32 = 0o007777
)

// NameMax is the longest name of an entry, in bytes.
const NameMax = 255

// Time is a moment: seconds since 1970-01-01T00:00:00Z (negative before it)
// and nanoseconds, 0 to 999999999, after those.
type Time struct {
	Sec  int64
	Nsec uint32
}

// Before reports whether t lies before u.
func (t Time) Before(u Time) bool {
	return t.Sec < u.Sec || t.Sec == u.Sec && t.Nsec < u.Nsec
}

// Xattr is an extended attribute. Name is the full name, as in
// "security.capability"; Value is as the kernel's getxattr gives it.
type Xattr struct {
	Name  string
	Value []byte
}

// Inode is a file of any type. There are a million of them: fields are few
// and shared between types.
type Inode struct {
	Mode         uint32 // type and permission bits
	UID, GID     uint32
	Major, Minor uint32 // of a device node

	// Links is the number of entries that lead to this inode; for a
	// directory 2 (its entry and its own ".") and one for each subdirectory.
	// Ordinal is the place in the order of Number. Both are set by [Number]
	// and valid until the tree changes.
	Links   uint32
	Ordinal uint32

	Mtime Time

	// Content is what a regular file holds, or the target of a symbolic
	// link. Nil is empty. A sparse file's content is a *diskmap.Map.
	Content content.Source

	// Xattrs are sorted by name, without duplicates.
	Xattrs []Xattr

	// Entries are the names of a directory, sorted by bytes, without
	// duplicates, "." and "..".
	Entries []Entry
}

// Entry is a name in a directory.
type Entry struct {
	Name  string
	Inode *Inode
}

// Type returns the type bits of the mode.
func (i *Inode) Type() uint32 { return i.Mode & TypeMask }

// TypeName returns what i is in a word, for people and programs.
func (i *Inode) TypeName() string {
	switch i.Type() {
	case TypeRegular:
		return "file"
	case TypeDir:
		return "directory"
	case TypeSymlink:
		return "symlink"
	case TypeChar:
		return "char"
	case TypeBlock:
		return "block"
	case TypeFIFO:
		return "fifo"
	case TypeSocket:
		return "socket"
	}
	return ""
}

// IsDir reports whether i is a directory.
func (i *Inode) IsDir() bool { return i.Type() == TypeDir }

// IsRegular reports whether i is a regular file.
func (i *Inode) IsRegular() bool { return i.Type() == TypeRegular }

// IsSymlink reports whether i is a symbolic link.
func (i *Inode) IsSymlink() bool { return i.Type() == TypeSymlink }

// Size returns the length of the content in bytes: of a regular file, or of
// a symbolic link's target.
func (i *Inode) Size() int64 {
	if i.Content == nil {
		return 0
	}
	return i.Content.Size()
}

// Target returns the target of a symbolic link.
func (i *Inode) Target() string {
	b, _ := i.Content.(content.Bytes)
	return string(b)
}

// NewDir returns an empty directory, 0755, owned by root.
func NewDir(mtime Time) *Inode {
	return &Inode{Mode: TypeDir | 0o755, Mtime: mtime}
}

// NewFile returns a regular file, 0644, owned by root.
func NewFile(src content.Source, mtime Time) *Inode {
	return &Inode{Mode: TypeRegular | 0o644, Mtime: mtime, Content: src}
}

// NewSymlink returns a symbolic link, 0777, owned by root.
func NewSymlink(target string, mtime Time) *Inode {
	return &Inode{Mode: TypeSymlink | 0o777, Mtime: mtime, Content: content.Bytes(target)}
}

// search returns where name is in the entries or where it would be inserted.
func (i *Inode) search(name string) (int, bool) {
	lo, hi := 0, len(i.Entries)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if i.Entries[mid].Name < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(i.Entries) && i.Entries[lo].Name == name
}

// Child returns what name leads to in directory i, or nil.
func (i *Inode) Child(name string) *Inode {
	if n, ok := i.search(name); ok {
		return i.Entries[n].Inode
	}
	return nil
}

// SetChild makes name lead to child, replacing what it led to.
func (i *Inode) SetChild(name string, child *Inode) {
	n, ok := i.search(name)
	if ok {
		i.Entries[n].Inode = child
		return
	}
	i.Entries = append(i.Entries, Entry{})
	copy(i.Entries[n+1:], i.Entries[n:])
	i.Entries[n] = Entry{name, child}
}

// RemoveChild removes name from directory i, if it is there.
func (i *Inode) RemoveChild(name string) {
	if n, ok := i.search(name); ok {
		i.Entries = append(i.Entries[:n], i.Entries[n+1:]...)
	}
}

// Lookup returns the inode at path below i, or nil. Empty components, as in
// a leading slash, are skipped; symbolic links are not followed; ".." is an
// ordinary name that nothing has.
func (i *Inode) Lookup(path string) *Inode {
	for name := range strings.SplitSeq(path, "/") {
		if name == "" || name == "." {
			continue
		}
		if i == nil || !i.IsDir() {
			return nil
		}
		i = i.Child(name)
	}
	return i
}

// Number sets Ordinal and Links of every inode below root, root included, and
// returns them in the order of their ordinals: breadth first, directories in
// the order in which they are met, entries by name. Inodes with several names
// count once, where they are met first.
func Number(root *Inode) []*Inode {
	inodes := []*Inode{root}
	root.Ordinal, root.Links = 0, 2
	numbered := func(i *Inode) bool {
		return int(i.Ordinal) < len(inodes) && inodes[i.Ordinal] == i
	}
	for n := 0; n < len(inodes); n++ {
		dir := inodes[n]
		for _, e := range dir.Entries {
			child := e.Inode
			if numbered(child) {
				child.Links++
				continue
			}
			child.Ordinal, child.Links = uint32(len(inodes)), 1
			inodes = append(inodes, child)
			if child.IsDir() {
				child.Links = 2
				dir.Links++
			}
		}
	}
	return inodes
}
