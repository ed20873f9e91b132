package volume

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/filesystem/zfs/ondisk"
	"diskwright/tree"
)

var le = binary.LittleEndian

// FileSystem is the files of a dataset. It is safe for concurrent use.
type FileSystem struct {
	set    *objset
	root   uint64
	tables *ondisk.AttributeTables
}

// masterNode is the object by which everything in a file system is found.
const masterNode = 1

// FileSystem returns the files of a file system or of a snapshot of one.
func (d *Dataset) FileSystem() (*FileSystem, error) {
	fs, err := d.open()
	if err != nil {
		return nil, fmt.Errorf("dataset %q: %w", d.Name, err)
	}
	return fs, nil
}

func (d *Dataset) openFileSystem() (*FileSystem, error) {
	if d.Pointer.IsHole() {
		return nil, corrupt("there is nothing in it")
	}
	set, err := d.pool.openObjset(&d.Pointer)
	if err != nil {
		return nil, err
	}
	if set.kind != ondisk.ObjsetFileSystem {
		return nil, unsupported("it is a %s", d.Kind)
	}
	fs := &FileSystem{set: set}
	master, err := set.zapEntries(masterNode)
	if err != nil {
		return nil, fmt.Errorf("master node: %w", err)
	}
	known := make(map[string]uint64)
	for _, e := range master {
		if v, err := e.Number(); err == nil {
			known[e.Name] = v
		}
	}
	if v := known["VERSION"]; v != ondisk.FileSystemVersion {
		return nil, unsupported("a file system of version %d; only %d can be read", v, ondisk.FileSystemVersion)
	}
	if fs.root = known["ROOT"]; fs.root == 0 {
		return nil, corrupt("the master node has no root")
	}
	fs.tables, err = fs.readTables(known["SA_ATTRS"])
	return fs, err
}

// readTables reads how attributes are numbered and laid out.
func (fs *FileSystem) readTables(object uint64) (*ondisk.AttributeTables, error) {
	var lists [2][]ondisk.ZAPEntry
	for i, name := range []string{"REGISTRY", "LAYOUTS"} {
		number, ok, err := fs.set.zapNumber(object, name)
		if err == nil && !ok {
			err = corrupt("there is none")
		}
		if err == nil {
			lists[i], err = fs.set.zapEntries(number)
		}
		if err != nil {
			return nil, fmt.Errorf("attributes: %s: %w", name, err)
		}
	}
	tables, err := ondisk.NewAttributeTables(lists[0], lists[1])
	if err != nil {
		return nil, corrupt("%v", err)
	}
	return tables, nil
}

// Node is a file that was read.
type Node struct {
	Object uint64
	ondisk.Attributes
	Used int64 // bytes of the pool, with the file's own metadata

	object *object
}

// IsDir reports whether n is a directory.
func (n *Node) IsDir() bool { return uint32(n.Mode)&tree.TypeMask == tree.TypeDir }

// oldZnode is the type of the bonus of files from before system attributes.
const oldZnode ondisk.Type = 17

// Node reads the file that an object is.
func (fs *FileSystem) Node(number uint64) (*Node, error) {
	o, err := fs.set.object(number)
	if err != nil {
		return nil, err
	}
	switch o.BonusType {
	case ondisk.TypeSA:
	case oldZnode:
		return nil, unsupported("object %d is a file from before system attributes", number)
	default:
		return nil, corrupt("object %d is no file", number)
	}
	n := &Node{Object: number, Used: o.Used, object: o}
	if err := fs.tables.Decode(&n.Attributes, o.Bonus); err != nil {
		return nil, corrupt("object %d: %v", number, err)
	}
	if o.Spill != nil && !o.Spill.IsHole() {
		spill, err := fs.set.pool.readBlock(o.Spill)
		if err != nil {
			return nil, fmt.Errorf("object %d: %w", number, err)
		}
		if err := fs.tables.Decode(&n.Attributes, spill); err != nil {
			return nil, corrupt("object %d: %v", number, err)
		}
	}
	if n.Mode > math.MaxUint16 || n.UID > math.MaxUint32 || n.GID > math.MaxUint32 {
		return nil, corrupt("object %d has mode %#o, owner %d and group %d", number, n.Mode, n.UID, n.GID)
	}
	want := ondisk.TypeFileContents
	if n.IsDir() {
		want = ondisk.TypeDirContents
	}
	if o.Type != want {
		return nil, corrupt("object %d has type %d, and mode %#o", number, o.Type, n.Mode)
	}
	return n, nil
}

// DirEntry is a name in a directory. It is not empty, "." or "..", and has no slash
// and no zero byte.
type DirEntry struct {
	Name   string
	Object uint64
	Type   uint32 // as in the mode of what it leads to
}

const (
	entryTypeBit    = 60 // of an entry's value: the type
	entryObjectMask = 1<<48 - 1
	typeShift       = 12 // of a mode
)

func dirEntry(e ondisk.ZAPEntry) (DirEntry, error) {
	v, err := e.Number()
	if err != nil {
		return DirEntry{}, corrupt("%v", err)
	}
	if !validName(e.Name) {
		return DirEntry{}, corrupt("a name %q", e.Name)
	}
	return DirEntry{e.Name, v & entryObjectMask, uint32(v>>entryTypeBit) << typeShift}, nil
}

func validName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= tree.NameMax && !strings.ContainsAny(name, "/\x00")
}

// Entries yields the names in a directory, in their order on disk. An error is
// yielded once and ends the loop.
func (fs *FileSystem) Entries(dir *Node) iter.Seq2[DirEntry, error] {
	return func(yield func(DirEntry, error) bool) {
		entries, err := fs.entries(dir)
		if err != nil {
			yield(DirEntry{}, err)
			return
		}
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// entries returns the names in a directory.
func (fs *FileSystem) entries(dir *Node) ([]DirEntry, error) {
	if !dir.IsDir() {
		return nil, corrupt("object %d is no directory", dir.Object)
	}
	var (
		list []DirEntry
		bad  error
	)
	err := dir.object.eachEntry(func(entries []ondisk.ZAPEntry) {
		for _, e := range entries {
			d, err := dirEntry(e)
			if err != nil {
				bad = fmt.Errorf("directory %d: %w", dir.Object, err)
				return
			}
			list = append(list, d)
		}
	})
	if err == nil {
		err = bad
	}
	return list, err
}

// Find returns the object that a name in a directory leads to, or 0.
func (fs *FileSystem) Find(dir *Node, name string) (uint64, error) {
	e, ok, err := dir.object.findEntry(name)
	if err != nil || !ok {
		return 0, err
	}
	d, err := dirEntry(e)
	if err != nil {
		return 0, fmt.Errorf("directory %d: %w", dir.Object, err)
	}
	return d.Object, nil
}

// Content returns what a regular file holds: nil if it is empty, or a map with its
// holes that is read when it is asked for.
func (fs *FileSystem) Content(n *Node) (content.Source, error) {
	switch {
	case n.Size == 0:
		return nil, nil
	case n.Size > diskmap.MaxSize:
		return nil, corrupt("object %d has %d bytes", n.Object, n.Size)
	}
	m, err := n.object.content(int64(n.Size))
	if err != nil {
		return nil, err // which must not become a Source that is not nil
	}
	return m, nil
}

// targetMax is the longest target of a symbolic link, PATH_MAX.
const targetMax = 4096

// Readlink returns the target of a symbolic link.
func (fs *FileSystem) Readlink(n *Node) ([]byte, error) {
	if n.Target != nil || n.Size == 0 {
		return n.Target, nil
	}
	if n.Size > targetMax {
		return nil, corrupt("object %d is a link to %d bytes", n.Object, n.Size)
	}
	target := make([]byte, n.Size)
	return target, n.object.readFull(target, 0)
}

// Xattrs returns the extended attributes of a file as getxattr(2) gives them, sorted
// by name. Those in the inode win over those in a directory.
func (fs *FileSystem) Xattrs(n *Node) ([]tree.Xattr, error) {
	var list []tree.Xattr
	if len(n.Attributes.Xattrs) > 0 {
		l, err := ondisk.DecodeNVList(n.Attributes.Xattrs)
		if err != nil {
			return nil, corrupt("extended attributes of object %d: %v", n.Object, err)
		}
		for _, pair := range l {
			if value, ok := pair.Value.([]byte); ok {
				list = append(list, tree.Xattr{Name: xattrName(pair.Name), Value: value})
			}
		}
	}
	if n.XattrDir != 0 {
		more, err := fs.dirXattrs(n)
		if err != nil {
			return nil, fmt.Errorf("extended attributes of object %d: %w", n.Object, err)
		}
		list = append(list, more...)
	}
	slices.SortStableFunc(list, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(list, func(a, b tree.Xattr) bool { return a.Name == b.Name }), nil
}

// xattrValueMax is the longest value of an attribute: XATTR_SIZE_MAX. A file has at
// most maxXattrs in its directory: the kernel lists 64 KiB of names.
const (
	xattrValueMax = 64 << 10
	maxXattrs     = 64 << 10
)

// dirXattrs returns the attributes of n that are files in a directory. That belongs
// to one file, and so do they: else a pool could have many for the space of one.
func (fs *FileSystem) dirXattrs(n *Node) ([]tree.Xattr, error) {
	dir, err := fs.Node(n.XattrDir)
	if err == nil && dir.Parent != n.Object {
		err = corrupt("object %d belongs to %d", dir.Object, dir.Parent)
	}
	if err != nil {
		return nil, err
	}
	entries, err := fs.entries(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) > maxXattrs {
		return nil, unsupported("%d of them", len(entries))
	}
	var list []tree.Xattr
	for _, e := range entries {
		x, err := fs.xattrFile(e.Object, dir)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", e.Name, err)
		}
		list = append(list, tree.Xattr{Name: xattrName(e.Name), Value: x})
	}
	return list, nil
}

// xattrFile returns what is in the file of an attribute.
func (fs *FileSystem) xattrFile(number uint64, dir *Node) ([]byte, error) {
	n, err := fs.Node(number)
	switch {
	case err != nil:
		return nil, err
	case n.Parent != dir.Object || n.Links != 1:
		return nil, corrupt("object %d with %d links belongs to %d", number, n.Links, n.Parent)
	case n.Size > xattrValueMax:
		return nil, corrupt("object %d has %d bytes", number, n.Size)
	}
	value := make([]byte, n.Size)
	return value, n.object.readFull(value, 0)
}

// xattrName returns a name as Linux has it: ones without a namespace, which other
// systems make, are those of users.
func xattrName(name string) string {
	for _, prefix := range []string{"user.", "system.", "trusted.", "security."} {
		if strings.HasPrefix(name, prefix) {
			return name
		}
	}
	return "user." + name
}

// Device numbers are the kernel's: see sys/sysmacros.h of OpenZFS, 20 bits for the
// minor part.
const minorBits = 20

// inode returns the file as package tree has it, a directory without its entries.
func (fs *FileSystem) inode(n *Node) (*tree.Inode, error) {
	i := &tree.Inode{Mode: uint32(n.Mode), UID: uint32(n.UID), GID: uint32(n.GID), Mtime: tree.Time(n.Mtime)}
	var err error
	switch i.Type() {
	case tree.TypeRegular:
		i.Content, err = fs.Content(n)
	case tree.TypeSymlink:
		var target []byte
		target, err = fs.Readlink(n)
		i.Content = content.Bytes(target)
	case tree.TypeChar, tree.TypeBlock:
		i.Major, i.Minor = uint32(n.Rdev>>minorBits)&(1<<12-1), uint32(n.Rdev)&(1<<minorBits-1)
	case tree.TypeDir, tree.TypeFIFO, tree.TypeSocket:
	default:
		return nil, corrupt("object %d has mode %#o", n.Object, n.Mode)
	}
	if err != nil {
		return nil, err
	}
	i.Xattrs, err = fs.Xattrs(n)
	return i, err
}
