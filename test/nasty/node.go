//go:build linux

package nasty

import (
	"encoding/binary"
	"hash/fnv"

	"golang.org/x/sys/unix"
)

// A node is a file to be made. A second name of a file (link is set) has no
// other field than its name.
type node struct {
	name     string
	mode     uint32
	uid, gid uint32
	rdev     uint64
	mtime    unix.Timespec
	xattrs   []xattr

	target string  // of a symbolic link
	size   int64   // of a regular file
	pieces []piece // of a regular file; the rest is hole
	seed   uint64

	children []*node          // of a directory
	byName   map[string]*node // the same

	link    *node
	made    string // where it was made first, for links to it
	private bool   // only root can read it
}

// A piece is n bytes of data at off; zeros if zero is set.
type piece struct {
	off  int64
	n    int
	zero bool
}

type xattr struct {
	name  string
	value []byte
}

func (d *node) add(name string, mode uint32) *node {
	if d.byName == nil {
		d.byName = make(map[string]*node)
	}
	if n := d.byName[name]; n != nil {
		return n
	}
	h := fnv.New64a()
	binary.Write(h, binary.LittleEndian, d.seed)
	h.Write([]byte(name))
	n := &node{name: name, mode: mode, seed: h.Sum64()}
	// Some moment between 2001 and 2014.
	n.mtime = unix.Timespec{Sec: 1_000_000_000 + int64(n.seed%400_000_000), Nsec: int64(n.seed>>32) % 1_000_000_000}
	d.children = append(d.children, n)
	d.byName[name] = n
	return n
}

// dir returns the directory called name in d, added if it is not there.
func (d *node) dir(name string) *node { return d.add(name, unix.S_IFDIR|0o755) }

// file adds a file of size bytes of noise.
func (d *node) file(name string, size int64) *node {
	f := d.add(name, unix.S_IFREG|0o644)
	if f.size = size; size > 0 {
		f.pieces = []piece{{n: int(size)}}
	}
	return f
}

func (d *node) symlink(name, target string) *node {
	n := d.add(name, unix.S_IFLNK|0o777)
	n.target = target
	return n
}

func (d *node) special(name string, fileType, major, minor uint32) *node {
	n := d.add(name, fileType|0o640)
	n.rdev = unix.Mkdev(major, minor)
	return n
}

// alias adds a further name of a file.
func (d *node) alias(name string, to *node) { d.add(name, 0).link = to }

func (d *node) child(name string) *node { return d.byName[name] }

func (n *node) own(uid, gid uint32) *node {
	n.uid, n.gid = uid, gid
	return n
}

func (n *node) xattr(name string, value []byte) *node {
	n.xattrs = append(n.xattrs, xattr{name, value})
	return n
}

// Names and binary form (linux/posix_acl_xattr.h) of access control lists.
const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"

	userObj  = 0x01
	user     = 0x02
	groupObj = 0x04
	group    = 0x08
	mask     = 0x10
	other    = 0x20

	none = 1<<32 - 1 // the id of entries that have none
)

type entry struct {
	tag, perm uint16
	id        uint32
}

// acl returns the list as setxattr takes it. The kernel wants users and groups
// sorted by id.
func acl(entries ...entry) []byte {
	p := binary.LittleEndian.AppendUint32(nil, 2) // POSIX_ACL_XATTR_VERSION
	for _, e := range entries {
		p = binary.LittleEndian.AppendUint16(p, e.tag)
		p = binary.LittleEndian.AppendUint16(p, e.perm)
		p = binary.LittleEndian.AppendUint32(p, e.id)
	}
	return p
}
