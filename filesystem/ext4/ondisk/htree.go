package ondisk

import (
	"encoding/binary"
	"fmt"
)

// A hashed directory ("Hash Tree Directories") is a linear one to a reader that
// does not know better: the tree hides behind entries that span the block.
//
//	root:  . | .. (to the end) | info | limit count | block0 | hash1 block1 | ... | tail
//	node:  empty entry (to the end)   | limit count | block0 | hash1 block1 | ... | tail
const (
	dxEntrySize = 8
	dxTailSize  = 8
	dxInfoSize  = 8

	dxRootEntries = 2*12 + dxInfoSize // offset of limit and count in a root
	dxNodeEntries = DirEntryHeader    // and in a node
	dxDotDot      = 12                // offset of ".."
	dxInfo        = 2 * 12            // offset of the root's info

	// DxLevelsMax is the largest indirect_levels without the feature
	// large_dir: a root, one layer of nodes, leaves.
	DxLevelsMax = 1
)

// DxEntry says that names of Hash and above, up to the next entry's, are in
// logical block Block of the directory. The first entry's hash is zero and is
// not stored; limit and count are in its place. Bit 0 of a hash says that names of
// this hash begin in the block before.
type DxEntry struct{ Hash, Block uint32 }

// DxRootLimit returns how many entries the root has room for.
func DxRootLimit(blockSize int, checksums bool) int {
	return dxLimit(blockSize-dxRootEntries, checksums)
}

// DxNodeLimit returns how many entries an inner node has room for.
func DxNodeLimit(blockSize int, checksums bool) int {
	return dxLimit(blockSize-dxNodeEntries, checksums)
}

func dxLimit(room int, checksums bool) int {
	if checksums {
		room -= dxTailSize
	}
	return room / dxEntrySize
}

// EncodeDxRoot makes block the first of the hashed directory self, which is in
// directory parent. levels is the number of layers of nodes between root and
// leaves. The checksum follows by SetDxTail.
func EncodeDxRoot(block []byte, self, parent uint32, version HashVersion, levels uint8, limit int, entries []DxEntry) {
	clear(block)
	dot := DirEntry{Inode: self, RecLen: dxDotDot, FileType: FileTypeDir, Name: []byte(".")}
	dot.Encode(block)
	dotdot := DirEntry{Inode: parent, RecLen: len(block) - dxDotDot, FileType: FileTypeDir, Name: []byte("..")}
	dotdot.Encode(block[dxDotDot:])
	info := block[dxInfo:]
	info[4] = byte(version)
	info[5] = dxInfoSize
	info[6] = levels
	encodeDxEntries(block[dxRootEntries:], limit, entries)
}

// EncodeDxNode makes block an inner node. The checksum follows by SetDxTail.
func EncodeDxNode(block []byte, limit int, entries []DxEntry) {
	clear(block)
	empty := DirEntry{RecLen: len(block)}
	empty.Encode(block)
	encodeDxEntries(block[dxNodeEntries:], limit, entries)
}

func encodeDxEntries(p []byte, limit int, entries []DxEntry) {
	le := binary.LittleEndian
	for i, e := range entries {
		le.PutUint32(p[i*dxEntrySize:], e.Hash)
		le.PutUint32(p[i*dxEntrySize+4:], e.Block)
	}
	le.PutUint16(p[0:], uint16(limit))
	le.PutUint16(p[2:], uint16(len(entries)))
}

// DxNode is a decoded root or inner node.
type DxNode struct {
	// Of a root.
	Version HashVersion // as stored: without the superblock's signedness
	Levels  uint8

	entries []byte
	limit   int
	offset  int // of limit and count in the block
}

// DecodeDxRoot reads the first block of a hashed directory.
func DecodeDxRoot(block []byte, checksums bool) (DxNode, error) {
	if len(block) < dxRootEntries+dxEntrySize {
		return DxNode{}, fmt.Errorf("hash tree root of %d bytes", len(block))
	}
	info := block[dxInfo:]
	if info[5] != dxInfoSize {
		return DxNode{}, fmt.Errorf("hash tree root with an info of %d bytes instead of %d", info[5], dxInfoSize)
	}
	n, err := decodeDxEntries(block, dxRootEntries, DxRootLimit(len(block), checksums))
	n.Version, n.Levels = HashVersion(info[4]), info[6]
	return n, err
}

// DecodeDxNode reads an inner node.
func DecodeDxNode(block []byte, checksums bool) (DxNode, error) {
	if len(block) < dxNodeEntries+dxEntrySize {
		return DxNode{}, fmt.Errorf("hash tree node of %d bytes", len(block))
	}
	return decodeDxEntries(block, dxNodeEntries, DxNodeLimit(len(block), checksums))
}

// decodeDxEntries bounds limit and count, as the kernel's dx_probe does.
func decodeDxEntries(block []byte, offset, room int) (DxNode, error) {
	le := binary.LittleEndian
	limit, count := int(le.Uint16(block[offset:])), int(le.Uint16(block[offset+2:]))
	if limit != room || count == 0 || count > limit {
		return DxNode{}, fmt.Errorf("hash tree node with %d of %d entries; it has room for %d", count, limit, room)
	}
	return DxNode{entries: block[offset : offset+count*dxEntrySize], limit: limit, offset: offset}, nil
}

// Len returns the number of entries.
func (n *DxNode) Len() int { return len(n.entries) / dxEntrySize }

// Entry returns the i-th entry; the first has hash 0.
func (n *DxNode) Entry(i int) DxEntry {
	le := binary.LittleEndian
	p := n.entries[i*dxEntrySize:]
	e := DxEntry{Block: le.Uint32(p[4:]) & 0x0fffffff}
	if i > 0 {
		e.Hash = le.Uint32(p)
	}
	return e
}

// dxOffset tells a root from a node by the RecLen of the first entry.
func dxOffset(block []byte) int {
	if binary.LittleEndian.Uint16(block[4:]) == dxDotDot {
		return dxRootEntries
	}
	return dxNodeEntries
}

// dxChecksum returns the checksum of a root or node and where it is stored. It
// covers the entries in use and the tail.
func dxChecksum(block []byte, inodeSeed uint32) (sum uint32, at int, ok bool) {
	le := binary.LittleEndian
	if len(block) < dxRootEntries+dxEntrySize {
		return 0, 0, false
	}
	offset := dxOffset(block)
	limit, count := int(le.Uint16(block[offset:])), int(le.Uint16(block[offset+2:]))
	tail := offset + limit*dxEntrySize
	if count > limit || tail+dxTailSize > len(block) {
		return 0, 0, false
	}
	sum = Checksum(inodeSeed, block[:offset+count*dxEntrySize])
	sum = Checksum(sum, block[tail:tail+4])
	sum = checksumZeros(sum, 4)
	return sum, tail + 4, true
}

// SetDxTail puts the checksum into a root or node: dx_tail.
func SetDxTail(block []byte, inodeSeed uint32) {
	if sum, at, ok := dxChecksum(block, inodeSeed); ok {
		binary.LittleEndian.PutUint32(block[at:], sum)
	}
}

// CheckDxTail reports whether the checksum of a root or node is right.
func CheckDxTail(block []byte, inodeSeed uint32) bool {
	sum, at, ok := dxChecksum(block, inodeSeed)
	return ok && binary.LittleEndian.Uint32(block[at:]) == sum
}
