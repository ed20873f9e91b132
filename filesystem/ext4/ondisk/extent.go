package ondisk

import (
	"encoding/binary"
	"fmt"
)

// Sizes of the extent tree ("Extent Tree"): header, index and leaf entries have
// 12 bytes each; a block of the tree ends in a 4-byte checksum.
const (
	ExtentHeaderSize = 12
	ExtentSize       = 12
	extentMagic      = 0xf30a

	// ExtentMax is the longest initialised extent, in blocks.
	ExtentMax = 32768
	// ExtentDepthMax is the deepest tree that the kernel accepts.
	ExtentDepthMax = 5
	// ExtentsInInode is the number of entries that i_block holds.
	ExtentsInInode = (60 - ExtentHeaderSize) / ExtentSize
)

// ExtentsInBlock is the number of entries in a block of the tree: 340 of
// 4,096 bytes. The kernel leaves room for the checksum by the size of an entry.
func ExtentsInBlock(blockSize int) int { return (blockSize - ExtentHeaderSize) / ExtentSize }

// ExtentHeader begins every node: ext4_extent_header.
type ExtentHeader struct {
	Entries, Max, Depth uint16
	Generation          uint32
}

// Encode writes the header to the first 12 bytes of p.
func (h ExtentHeader) Encode(p []byte) {
	le := binary.LittleEndian
	le.PutUint16(p[0:], extentMagic)
	le.PutUint16(p[2:], h.Entries)
	le.PutUint16(p[4:], h.Max)
	le.PutUint16(p[6:], h.Depth)
	le.PutUint32(p[8:], h.Generation)
}

// DecodeExtentHeader reads and validates the header of the node p: i_block, or
// a whole block.
func DecodeExtentHeader(p []byte) (ExtentHeader, error) {
	le := binary.LittleEndian
	if len(p) < ExtentHeaderSize {
		return ExtentHeader{}, fmt.Errorf("extent node of %d bytes", len(p))
	}
	h := ExtentHeader{le.Uint16(p[2:]), le.Uint16(p[4:]), le.Uint16(p[6:]), le.Uint32(p[8:])}
	room := (len(p) - ExtentHeaderSize) / ExtentSize
	switch magic := le.Uint16(p); {
	case magic != extentMagic:
		return h, fmt.Errorf("extent node has magic %#04x instead of %#04x", magic, extentMagic)
	case int(h.Max) > room || h.Max == 0:
		return h, fmt.Errorf("extent node for %d entries in room for %d", h.Max, room)
	case h.Entries > h.Max:
		return h, fmt.Errorf("extent node with %d entries of at most %d", h.Entries, h.Max)
	case h.Depth > ExtentDepthMax:
		return h, fmt.Errorf("extent tree of depth %d; the kernel knows %d", h.Depth, ExtentDepthMax)
	}
	return h, nil
}

// Extent maps Len blocks of a file from Block on to those of the disk from
// Start on: ext4_extent. Unwritten ones read as zeros.
type Extent struct {
	Block     uint32
	Len       uint16 // 1 to ExtentMax
	Start     uint64 // 48 bits
	Unwritten bool
}

// Encode writes the extent to the first 12 bytes of p.
func (e Extent) Encode(p []byte) {
	le := binary.LittleEndian
	n := e.Len
	if e.Unwritten {
		n += ExtentMax
	}
	le.PutUint32(p[0:], e.Block)
	le.PutUint16(p[4:], n)
	le.PutUint16(p[6:], uint16(e.Start>>32))
	le.PutUint32(p[8:], uint32(e.Start))
}

// DecodeExtent reads the i-th entry of the leaf node p.
func DecodeExtent(p []byte, i int) Extent {
	le := binary.LittleEndian
	p = p[ExtentHeaderSize+i*ExtentSize:][:ExtentSize]
	e := Extent{
		Block: le.Uint32(p[0:]),
		Len:   le.Uint16(p[4:]),
		Start: uint64(le.Uint16(p[6:]))<<32 | uint64(le.Uint32(p[8:])),
	}
	if e.Len > ExtentMax {
		e.Len -= ExtentMax
		e.Unwritten = true
	}
	return e
}

// ExtentIndex says that the part of a file from Block on is described by the
// node in block Node of the disk: ext4_extent_idx.
type ExtentIndex struct {
	Block uint32
	Node  uint64 // 48 bits
}

// Encode writes the entry to the first 12 bytes of p.
func (e ExtentIndex) Encode(p []byte) {
	le := binary.LittleEndian
	le.PutUint32(p[0:], e.Block)
	le.PutUint32(p[4:], uint32(e.Node))
	le.PutUint16(p[8:], uint16(e.Node>>32))
	le.PutUint16(p[10:], 0)
}

// DecodeExtentIndex reads the i-th entry of the index node p.
func DecodeExtentIndex(p []byte, i int) ExtentIndex {
	le := binary.LittleEndian
	p = p[ExtentHeaderSize+i*ExtentSize:][:ExtentSize]
	return ExtentIndex{
		Block: le.Uint32(p[0:]),
		Node:  uint64(le.Uint16(p[8:]))<<32 | uint64(le.Uint32(p[4:])),
	}
}

// extentTail is where the checksum of the tree's block p is: behind the room
// for eh_max entries.
func extentTail(p []byte) (int, bool) {
	at := ExtentHeaderSize + int(binary.LittleEndian.Uint16(p[4:]))*ExtentSize
	return at, at+4 <= len(p)
}

// SetExtentTail puts the checksum into a block of the tree (not into i_block,
// which the inode's own covers): ext4_extent_tail.
func SetExtentTail(p []byte, inodeSeed uint32) {
	if at, ok := extentTail(p); ok {
		binary.LittleEndian.PutUint32(p[at:], Checksum(inodeSeed, p[:at]))
	}
}

// CheckExtentTail reports whether the checksum of a block of the tree is right.
func CheckExtentTail(p []byte, inodeSeed uint32) bool {
	at, ok := extentTail(p)
	return ok && binary.LittleEndian.Uint32(p[at:]) == Checksum(inodeSeed, p[:at])
}
