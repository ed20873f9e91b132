package fat

import (
	"fmt"
	"unicode/utf16"

	"diskwright/content"
	"diskwright/tree"
)

const (
	// [FAT] "Other Notes Relating to FAT Directories": a file has at most that
	// many bytes, a directory that many entries (2 MiB), in FAT32 too.
	maxFileSize = 1<<32 - 1
	maxEntries  = 1 << 16

	longUnits = 13 // of a name in UTF-16, in an entry
	longLast  = 0x40

	deletedEntry   = 0xe5 // first byte of the name
	escapedDeleted = 0x05 // stands for a first byte 0xe5
	lowerBase      = 0x08
	lowerExtension = 0x10
)

// Attributes of an entry ([FAT] "FAT Directory Structure").
const (
	attrReadOnly = 0x01
	attrVolume   = 0x08
	attrDir      = 0x10
	attrArchive  = 0x20
	attrLong     = 0x0f // an entry of a long name
	attrMask     = 0x3f
)

// directory is a planned directory.
type directory struct {
	node    *tree.Inode
	parent  *directory // nil for the root
	index   int        // in the parent's entries
	entries []entry    // of node.Entries
	slots   int        // entries of 32 bytes, those that are not of entries included
	first   uint32     // cluster; 0 for the root of FAT12/16
}

// entry is a planned name in a directory. There may be many: what the tree
// knows is not repeated.
type entry struct {
	short shortName
	slots uint8  // entries of 32 bytes
	first uint32 // cluster, 0 if there is none
}

// size returns the length of the directory in bytes.
func (d *directory) size() int64 { return int64(d.slots) * dirEntrySize }

// path returns the path of name in the directory.
func (d *directory) path(name string) string {
	if d.parent != nil {
		return d.parent.path(d.parent.node.Entries[d.index].Name) + "/" + name
	}
	return "/" + name
}

// clusters returns how many clusters the directory takes: at least one.
func (d *directory) clusters(g geometry) uint32 { return g.clustersOf(max(d.size(), 1)) }

// planDirectories gives every directory of the tree its entries, without
// clusters yet. The root comes first; label tells whether it has an entry for
// the volume's label.
func planDirectories(root *tree.Inode, label bool) ([]*directory, error) {
	if !root.IsDir() {
		return nil, fmt.Errorf("fat: the root of the tree is a %s, not a directory", typeName(root))
	}
	top := &directory{node: root}
	if label {
		top.slots = 1
	}
	dirs := []*directory{top}
	for n := 0; n < len(dirs); n++ {
		d := dirs[n]
		if err := d.plan(); err != nil {
			return nil, err
		}
		for index, e := range d.node.Entries {
			if e.Inode.IsDir() {
				dirs = append(dirs, &directory{node: e.Inode, parent: d, index: index, slots: 2}) // . and ..
			}
		}
	}
	return dirs, nil
}

// plan checks the entries of the directory and gives them their short names.
func (d *directory) plan() error {
	names := make([]string, len(d.node.Entries))
	folded := make(map[string]string, len(names))
	d.entries = make([]entry, len(names))
	for n, e := range d.node.Entries {
		if err := d.check(e); err != nil {
			return err
		}
		key := foldName(e.Name)
		if other, ok := folded[key]; ok {
			return fmt.Errorf("%q differs from %q in case only, which FAT ignores: rename one of them", d.path(e.Name), other)
		}
		folded[key], names[n] = e.Name, e.Name
		d.entries[n].slots = uint8(1 + longEntries(e.Name))
		d.slots += int(d.entries[n].slots)
	}
	if d.slots > maxEntries {
		return fmt.Errorf("%q: its %d names take %d entries of 32 bytes, and a directory of FAT has at most %d: distribute them",
			d.path(""), len(names), d.slots, maxEntries)
	}
	for n, short := range shortNames(names) {
		d.entries[n].short = short
	}
	return nil
}

// check says why FAT cannot hold an entry.
func (d *directory) check(e tree.Entry) error {
	if err := checkName(e.Name); err != nil {
		return fmt.Errorf("%q: its name %w: rename it", d.path(e.Name), err)
	}
	if !e.Inode.IsDir() && !e.Inode.IsRegular() {
		return fmt.Errorf("%q is a %s, and FAT holds regular files and directories only: remove or replace it", d.path(e.Name), typeName(e.Inode))
	}
	if size := e.Inode.Size(); size > maxFileSize {
		return fmt.Errorf("%q has %d bytes, and a file of FAT has at most %d", d.path(e.Name), size, int64(maxFileSize))
	}
	return nil
}

// typeName returns what a file is.
func typeName(i *tree.Inode) string {
	switch i.Type() {
	case tree.TypeSymlink:
		return "symbolic link"
	case tree.TypeSocket:
		return "socket"
	case tree.TypeFIFO:
		return "FIFO"
	case tree.TypeBlock:
		return "block device"
	case tree.TypeChar:
		return "character device"
	case tree.TypeDir:
		return "directory"
	case tree.TypeRegular:
		return "regular file"
	}
	return fmt.Sprintf("file of the unknown type %#o", i.Type())
}

// longEntries returns how many entries the long name takes: none if the short
// one is the same. (Linux by default keeps a name in lower case as a long one;
// the bits that Windows NT has for it are not understood everywhere.)
func longEntries(name string) int {
	if form := shorten(name); form.whole && form.upper {
		return 0
	}
	return (utf16Len(name) + longUnits - 1) / longUnits
}

// directorySource returns what the directory holds.
func (fs *FileSystem) directorySource(d *directory) content.Source {
	return &content.Generated{Length: d.size(), Fill: func(p []byte, off int64) error {
		fs.fillDirectory(d, p, off)
		return nil
	}}
}

// fillDirectory makes the bytes of a directory from off on.
func (fs *FileSystem) fillDirectory(d *directory, p []byte, off int64) {
	w := slotWriter{p: p, at: -off}
	switch {
	case d.parent != nil:
		parent := d.parent.first
		if d.parent.parent == nil {
			parent = 0 // stands for the root, also in FAT32
		}
		w.put(shortEntry(dotName, attrDir, d.node.Mtime, d.first, 0))
		w.put(shortEntry(dotDotName, attrDir, d.node.Mtime, parent, 0))
	case fs.hasLabel():
		w.put(shortEntry(fs.label, attrVolume, fs.opts.Time, 0, 0))
	}
	for n, e := range d.node.Entries {
		plan := d.entries[n]
		if w.skip(int(plan.slots)) {
			continue
		}
		if plan.slots > 1 {
			units := utf16.Encode([]rune(e.Name))
			for order := int(plan.slots) - 1; order > 0; order-- {
				w.put(longEntry(units, order, plan.short.checksum()))
			}
		}
		attr, size := byte(attrArchive), uint32(e.Inode.Size())
		if e.Inode.IsDir() {
			attr, size = attrDir, 0
		}
		w.put(shortEntry(plan.short, attr, e.Inode.Mtime, plan.first, size))
	}
}

// A slotWriter writes those entries of a directory, given one after the other,
// that lie in a window of it.
type slotWriter struct {
	p  []byte // the window
	at int64  // where the next entry begins in the window; may be negative
}

// skip reports whether the next n entries lie outside of the window, and
// passes them then.
func (w *slotWriter) skip(n int) bool {
	end := w.at + int64(n)*dirEntrySize
	if end > 0 && w.at < int64(len(w.p)) {
		return false
	}
	w.at = end
	return true
}

func (w *slotWriter) put(e [dirEntrySize]byte) {
	if !w.skip(1) {
		copy(w.p[max(w.at, 0):], e[max(-w.at, 0):])
		w.at += dirEntrySize
	}
}

// shortEntry returns an entry with a short name ([FAT] "FAT Directory
// Structure"). It is as old as its last write.
func shortEntry(name shortName, attr byte, mtime tree.Time, first, size uint32) (e [dirEntrySize]byte) {
	date, clock := encodeTime(mtime)
	copy(e[0:11], name[:])
	e[11] = attr
	le.PutUint16(e[14:], clock) // creation
	le.PutUint16(e[16:], date)
	le.PutUint16(e[18:], date) // last access
	le.PutUint16(e[20:], uint16(first>>16))
	le.PutUint16(e[22:], clock) // last write
	le.PutUint16(e[24:], date)
	le.PutUint16(e[26:], uint16(first))
	le.PutUint32(e[28:], size)
	return e
}

// longPlaces are the offsets of the characters in an entry of a long name.
var longPlaces = [longUnits]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30}

// longEntry returns the entry with the given place, from 1, in a long name
// ([FAT] "FAT Long Directory Entries"). Those with the higher places come first.
func longEntry(name []uint16, order int, checksum byte) (e [dirEntrySize]byte) {
	rest := name[(order-1)*longUnits:]
	e[0] = byte(order)
	if len(rest) <= longUnits {
		e[0] |= longLast
	}
	e[11] = attrLong
	e[13] = checksum
	for n, place := range longPlaces {
		unit := uint16(0xffff) // padding
		if n < len(rest) {
			unit = rest[n]
		} else if n == len(rest) {
			unit = 0
		}
		le.PutUint16(e[place:], unit)
	}
	return e
}
