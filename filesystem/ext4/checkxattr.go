package ext4

import (
	"encoding/binary"
	"fmt"

	"diskwright/filesystem/ext4/ondisk"
)

// checkedXattrs is a block of attributes that inodes share.
type checkedXattrs struct {
	refs, said uint32
	extra      uint64 // see inodeCheck
}

// xattrs checks the attributes in the inode and in its block.
func (w *inodeCheck) xattrs() {
	n := w.n
	if len(n.slot) > ondisk.OldInodeSize {
		area := n.slot[ondisk.OldInodeSize+int(n.ExtraSize):]
		if len(area) >= ondisk.XattrMagicSize && binary.LittleEndian.Uint32(area) == ondisk.XattrMagic {
			area = area[ondisk.XattrMagicSize:]
			w.extra += w.xattrArea(w.where, area, area, 0)
		}
	}
	if n.FileACL == 0 {
		return
	}
	if !w.super.Features.HasCompat(ondisk.CompatExtAttr) {
		w.bad("it has a block of attributes, which the file system does not have")
	}
	if !w.inside(n.FileACL, 1) {
		w.list.Add(findXattr, w.where, "its attributes are in block %d, and the file system has blocks %d to %d", n.FileACL, w.super.FirstDataBlock, w.limit-1)
		return
	}
	x := w.xattrBlocks[n.FileACL]
	if x != nil {
		x.refs++
	} else {
		x = w.sharedXattrs(n.FileACL)
		w.xattrBlocks[n.FileACL] = x
	}
	w.extra += x.extra
}

// sharedXattrs checks a block of attributes when it is met first.
func (w *inodeCheck) sharedXattrs(number uint64) *checkedXattrs {
	x := &checkedXattrs{refs: 1, said: 1}
	where := fmt.Sprintf("%s, attributes in block %d", w.where, number)
	if at, again := w.used.mark(number, number); again {
		w.list.Add(findShared, where, "block %d is something else, too", at)
	}
	p, err := w.readBlock(number)
	if err != nil {
		_ = w.unreadable(where, err)
		return x
	}
	h, err := ondisk.DecodeXattrHeader(p)
	if err != nil {
		w.list.Add(findXattr, where, "%v", err)
		return x
	}
	if w.checksums() && h.Checksum != ondisk.XattrChecksum(p, number, w.seed) {
		w.list.Add(findChecksum, where, "the checksum of block %d is wrong", number)
	}
	x.said = h.RefCount
	x.extra = w.xattrArea(where, p[ondisk.XattrBlockHeader:], p, h.Hash)
	return x
}

// xattrArea checks the entries of an area, whose values' offsets count from the
// start of values, and returns the blocks of values that are elsewhere. blockHash
// is not zero where the entries' hashes make it.
func (w *inodeCheck) xattrArea(where string, entries, values []byte, blockHash uint32) (extra uint64) {
	bad := func(format string, args ...any) { w.list.Add(findXattr, where, format, args...) }
	inBlock := len(entries) != len(values)
	taken := make([]bool, (len(values)+3)/4)
	claim := func(from, size int) bool {
		for i := from / 4; i < (from+size+3)/4 && i < len(taken); i++ {
			if taken[i] {
				return false
			}
			taken[i] = true
		}
		return true
	}
	var hashes []uint32
	start := len(values) - len(entries)
	rest := entries
	var ends [][2]int
	for {
		e, size, err := ondisk.DecodeXattrEntry(rest)
		if err != nil {
			bad("%v", err)
			return extra
		}
		if size == 0 {
			break
		}
		at := start + len(entries) - len(rest)
		claim(at, size)
		name := fmt.Sprintf("attribute %d.%q", e.NameIndex, e.Name)
		if len(e.Name) == 0 && e.NameIndex != ondisk.XattrIndexACLAccess && e.NameIndex != ondisk.XattrIndexACLDefault {
			bad("%s has no name", name)
		}
		if e.NameIndex == ondisk.XattrIndexSystem && string(e.Name) == inlineName {
			w.inline, w.inlineRoom = true, uint64(e.ValueSize)
		}
		rest = rest[size:]
		hashes = append(hashes, e.Hash)
		if e.ValueInode != 0 {
			if !w.super.Features.HasIncompat(ondisk.IncompatEAInode) || e.ValueInode > w.super.Inodes {
				bad("%s has its value in inode %d", name, e.ValueInode)
				continue
			}
			w.eaRefs[e.ValueInode]++
			blocks := (uint64(e.ValueSize) + uint64(w.block) - 1) / uint64(w.block)
			extra += (blocks + w.ratio - 1) / w.ratio * w.ratio
			continue
		}
		offset, length := int(e.ValueOffset), int(e.ValueSize)
		if e.ValueSize > uint32(len(values)) || offset+length > len(values) || length > 0 && offset < start+4 {
			bad("%s has its %d bytes at %d of %d", name, e.ValueSize, e.ValueOffset, len(values))
			continue
		}
		if length > 0 {
			ends = append(ends, [2]int{offset, length})
		}
		value := make([]byte, ondisk.XattrPad(length))
		copy(value, values[offset:offset+length])
		if e.Hash != 0 || inBlock {
			// Before Linux 6.2 bytes counted as signed on x86.
			if e.Hash != ondisk.XattrEntryHash(e.Name, value) && e.Hash != signedEntryHash(e.Name, value) {
				bad("the hash of %s is %#x, and should be %#x", name, e.Hash, ondisk.XattrEntryHash(e.Name, value))
			}
		}
	}
	claim(start+len(entries)-len(rest), 4)
	for _, v := range ends {
		if v[0]%4 != 0 || !claim(v[0], v[1]) {
			bad("the value of %d bytes at %d overlaps something else", v[1], v[0])
		}
	}
	if blockHash != 0 && blockHash != ondisk.XattrBlockHash(hashes) {
		bad("the hash of its attributes is %#x, and should be %#x", blockHash, ondisk.XattrBlockHash(hashes))
	}
	return extra
}

// signedEntryHash is XattrEntryHash with bytes of the name as signed numbers.
func signedEntryHash(name, value []byte) uint32 {
	var h uint32
	for _, b := range name {
		h = h<<5 ^ h>>27 ^ uint32(int32(int8(b)))
	}
	for ; len(value) >= 4; value = value[4:] {
		h = h<<16 ^ h>>16 ^ binary.LittleEndian.Uint32(value)
	}
	return h
}
