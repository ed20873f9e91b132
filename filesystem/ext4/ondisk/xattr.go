package ondisk

import (
	"encoding/binary"
	"fmt"
)

// Extended attributes ("Extended Attributes") lie behind the fields of an inode,
// after a magic number, and in one block more, after a header. Entries grow
// upwards, values downwards from the end, both aligned to four bytes; four zero
// bytes end the entries.
//
//	|header|entry entry entry 0000 ->      <- value value value|
//
// The offset of a value counts from the block's start, or in an inode from the
// first entry.
const XattrMagic uint32 = 0xea020000

// Sizes in bytes.
const (
	XattrMagicSize   = 4  // in an inode
	XattrBlockHeader = 32 // before a block's first entry
	XattrEntryHeader = 16 // before an entry's name
	xattrAlign       = 4
)

// Prefixes that the name index of an entry stands for ("Attribute Name Indices").
const (
	XattrIndexNone       uint8 = 0
	XattrIndexUser       uint8 = 1 // user.
	XattrIndexACLAccess  uint8 = 2 // system.posix_acl_access, whole
	XattrIndexACLDefault uint8 = 3 // system.posix_acl_default, whole
	XattrIndexTrusted    uint8 = 4 // trusted.
	XattrIndexSecurity   uint8 = 6 // security.
	XattrIndexSystem     uint8 = 7 // system.
)

// XattrEntry is the entry of an attribute: ext4_xattr_entry.
type XattrEntry struct {
	NameIndex   uint8
	Name        []byte // without the prefix
	ValueOffset uint16
	ValueInode  uint32 // the inode that holds the value (ea_inode), or 0
	ValueSize   uint32
	Hash        uint32 // 0 in an inode; XattrEntryHash in a block
}

// XattrEntrySize returns the size of an entry with a name of nameLen bytes.
func XattrEntrySize(nameLen int) int { return XattrEntryHeader + XattrPad(nameLen) }

// XattrPad rounds the size of a name or value up to the alignment.
func XattrPad(n int) int { return (n + xattrAlign - 1) &^ (xattrAlign - 1) }

// Encode writes the entry to the first XattrEntrySize bytes of p.
func (e *XattrEntry) Encode(p []byte) {
	le := binary.LittleEndian
	p = p[:XattrEntrySize(len(e.Name))]
	clear(p)
	p[0] = byte(len(e.Name))
	p[1] = e.NameIndex
	le.PutUint16(p[2:], e.ValueOffset)
	le.PutUint32(p[4:], e.ValueInode)
	le.PutUint32(p[8:], e.ValueSize)
	le.PutUint32(p[12:], e.Hash)
	copy(p[XattrEntryHeader:], e.Name)
}

// DecodeXattrEntry reads the entry at the start of p. It returns its size, or 0
// at the end of the entries. Where the value is in the same area, the caller
// checks that ValueOffset and ValueSize lie in it. Name is a part of p.
func DecodeXattrEntry(p []byte) (e XattrEntry, size int, err error) {
	le := binary.LittleEndian
	if len(p) < 4 {
		return e, 0, fmt.Errorf("extended attributes without an end")
	}
	if le.Uint32(p) == 0 {
		return e, 0, nil
	}
	size = XattrEntrySize(int(p[0]))
	if size > len(p) {
		return e, 0, fmt.Errorf("extended attribute's name of %d bytes in room for %d", p[0], len(p)-XattrEntryHeader)
	}
	return XattrEntry{
		NameIndex:   p[1],
		Name:        p[XattrEntryHeader : XattrEntryHeader+int(p[0]) : XattrEntryHeader+int(p[0])],
		ValueOffset: le.Uint16(p[2:]),
		ValueInode:  le.Uint32(p[4:]),
		ValueSize:   le.Uint32(p[8:]),
		Hash:        le.Uint32(p[12:]),
	}, size, nil
}

// XattrEntryHash is an entry's hash over its name and its value, by which the
// kernel finds equal blocks to share. e2fsck verifies it. Bytes of the name count as
// unsigned, which is what all but pre-6.2 kernels on x86 do; names of ASCII
// have one hash.
func XattrEntryHash(name, value []byte) uint32 {
	var h uint32
	for _, c := range name {
		h = h<<5 ^ h>>27 ^ uint32(c)
	}
	for len(value) > 0 {
		var word [xattrAlign]byte
		n := copy(word[:], value)
		h = h<<16 ^ h>>16 ^ binary.LittleEndian.Uint32(word[:])
		value = value[n:]
	}
	return h
}

// XattrBlockHash is a block's hash over those of its entries, in order. An entry
// without a hash makes the block unshareable: 0.
func XattrBlockHash(entries []uint32) uint32 {
	var h uint32
	for _, e := range entries {
		if e == 0 {
			return 0
		}
		h = h<<16 ^ h>>16 ^ e
	}
	return h
}

// XattrHeader begins a block of attributes: ext4_xattr_header.
type XattrHeader struct {
	RefCount uint32 // inodes that share the block
	Blocks   uint32 // 1
	Hash     uint32
	Checksum uint32 // as read; see SetXattrChecksum
}

const xattrChecksum = 16 // offset of h_checksum

// Encode writes the header to the first 32 bytes of p, without a checksum.
func (h *XattrHeader) Encode(p []byte) {
	le := binary.LittleEndian
	clear(p[:XattrBlockHeader])
	le.PutUint32(p[0:], XattrMagic)
	le.PutUint32(p[4:], h.RefCount)
	le.PutUint32(p[8:], h.Blocks)
	le.PutUint32(p[12:], h.Hash)
}

// DecodeXattrHeader reads and validates the header of a block.
func DecodeXattrHeader(p []byte) (XattrHeader, error) {
	le := binary.LittleEndian
	if len(p) < XattrBlockHeader {
		return XattrHeader{}, fmt.Errorf("extended attributes in a block of %d bytes", len(p))
	}
	h := XattrHeader{le.Uint32(p[4:]), le.Uint32(p[8:]), le.Uint32(p[12:]), le.Uint32(p[xattrChecksum:])}
	if magic := le.Uint32(p); magic != XattrMagic || h.Blocks != 1 {
		return h, fmt.Errorf("extended attributes with magic %#x and %d blocks instead of %#x and 1", magic, h.Blocks, XattrMagic)
	}
	return h, nil
}

// XattrChecksum is the checksum of a block of attributes at blockNumber.
func XattrChecksum(block []byte, blockNumber uint64, fsSeed uint32) uint32 {
	c := checksum64(fsSeed, blockNumber)
	c = Checksum(c, block[:xattrChecksum])
	c = checksumZeros(c, 4)
	return Checksum(c, block[xattrChecksum+4:])
}

// SetXattrChecksum puts the checksum into a whole block of attributes.
func SetXattrChecksum(block []byte, blockNumber uint64, fsSeed uint32) {
	binary.LittleEndian.PutUint32(block[xattrChecksum:], XattrChecksum(block, blockNumber, fsSeed))
}
