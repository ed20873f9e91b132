package ext4

import (
	"encoding/binary"
	"fmt"
	"iter"

	"diskwright/filesystem/ext4/ondisk"
)

// DirEntry is a name in a directory that is read. The name is not empty, "."
// or "..", and has no slash and no zero byte.
type DirEntry struct {
	Name  string
	Inode uint32
}

// Entries yields the names in a directory, in their order on disk. An error is
// yielded once and ends the loop. Nothing is said about names that occur twice.
func (v *Volume) Entries(dir *Node) iter.Seq2[DirEntry, error] {
	return func(yield func(DirEntry, error) bool) {
		err := v.entries(dir, func(e DirEntry) bool { return yield(e, nil) })
		if err != nil {
			yield(DirEntry{}, fmt.Errorf("directory %d: %w", dir.Number, err))
		}
	}
}

// Find returns the inode that a name in a directory leads to, or 0.
func (v *Volume) Find(dir *Node, name string) (uint32, error) {
	for e, err := range v.Entries(dir) {
		if err != nil {
			return 0, err
		}
		if e.Name == name {
			return e.Inode, nil
		}
	}
	if dir.Flags&ondisk.FlagCaseFold != 0 {
		return 0, unsupported("directory %d ignores case, and has no name that is exactly %q", dir.Number, name)
	}
	return 0, nil
}

func (v *Volume) entries(dir *Node, yield func(DirEntry) bool) error {
	switch {
	case !dir.IsDir():
		return corrupt("it is no directory")
	case dir.Flags&ondisk.FlagEncrypt != 0:
		return unsupported("its names are encrypted")
	case dir.Flags&ondisk.FlagInline != 0:
		return v.inlineEntries(dir, yield)
	}
	if dir.Size%uint64(v.block) != 0 || dir.Size/uint64(v.block) > 1<<32 {
		return corrupt("it has %d bytes", dir.Size)
	}
	next := uint64(0) // block
	more := true
	err := v.runs(dir, dir.Size/uint64(v.block), func(r mapping) error {
		if r.logical != next {
			return corrupt("it has a hole at block %d", next)
		}
		next = r.logical + r.count
		for i := uint64(0); i < r.count && more; i++ {
			block, err := v.readBlock(r.physical + i)
			if err != nil {
				return err
			}
			if err := v.checkDirBlock(dir, r.logical+i, block); err != nil {
				return err
			}
			if more, err = v.blockEntries(dir, block, yield); err != nil {
				return fmt.Errorf("block %d: %w", r.logical+i, err)
			}
		}
		if !more {
			return errEnough
		}
		return nil
	})
	switch {
	case err != nil && !more:
		return nil
	case err == nil && next != dir.Size/uint64(v.block):
		return corrupt("it has a hole at block %d", next)
	}
	return err
}

// errEnough ends the loop over runs when nobody wants more entries.
var errEnough = fmt.Errorf("enough")

// checkDirBlock verifies the checksum of a block: that of a root or inner node
// of a hash tree, or of a leaf. What tells an inner node is that it is one
// empty entry.
func (v *Volume) checkDirBlock(dir *Node, logical uint64, block []byte) error {
	if !v.checksums() {
		return nil
	}
	seed := ondisk.InodeSeed(v.seed, dir.Number, dir.Generation)
	indexed := dir.Flags&ondisk.FlagIndex != 0
	first, err := ondisk.DecodeDirEntry(block, 0, true)
	inner := err == nil && first.Inode == 0 && first.RecLen == len(block)
	ok := false
	if indexed && (logical == 0 || inner) {
		ok = ondisk.CheckDxTail(block, seed)
	} else {
		ok = ondisk.CheckDirTail(block, seed)
	}
	if !ok {
		return corrupt("the checksum of block %d is wrong", logical)
	}
	return nil
}

// blockEntries yields the entries of a block, or of the like of one in an inode.
func (v *Volume) blockEntries(dir *Node, block []byte, yield func(DirEntry) bool) (more bool, err error) {
	filetype := v.super.Features.HasIncompat(ondisk.IncompatFileType)
	for at := 0; at < len(block); {
		d, err := ondisk.DecodeDirEntry(block, at, filetype)
		if err != nil {
			return false, corrupt("%v", err)
		}
		at += d.RecLen
		switch name := string(d.Name); {
		case d.Inode == 0 || name == ".":
		case d.Inode > v.super.Inodes:
			return false, corrupt("%q leads to inode %d of %d", name, d.Inode, v.super.Inodes)
		case name == "..":
		case !validName(d.Name):
			return false, corrupt("a name %q", name)
		case !yield(DirEntry{Name: name, Inode: d.Inode}):
			return false, nil
		}
	}
	return true, nil
}

// validName reports whether the kernel can have made the name.
func validName(name []byte) bool {
	for _, c := range name {
		if c == 0 || c == '/' {
			return false
		}
	}
	return len(name) > 0
}

// inlineEntries yields the entries of a directory in its inode: behind the
// number of the parent, and in an attribute ("Inline Directories").
func (v *Volume) inlineEntries(dir *Node, yield func(DirEntry) bool) error {
	const parentSize = 4
	if parent := binary.LittleEndian.Uint32(dir.Block[:]); parent == 0 || parent > v.super.Inodes {
		return corrupt("its parent is inode %d of %d", parent, v.super.Inodes)
	}
	rest, err := v.inlineRest(dir)
	if err != nil {
		return err
	}
	for _, part := range [][]byte{dir.Block[parentSize:], rest} {
		more, err := v.blockEntries(dir, part, yield)
		if err != nil || !more {
			return err
		}
	}
	return nil
}
