package ext4

import (
	"iter"

	"diskwright/filesystem/ext4/ondisk"
)

// extentsPerNode is the number of entries in a block of an extent tree.
var extentsPerNode = int64(ondisk.ExtentsInBlock(blockSize))

// extents yields the extents of a file from block from on, which is where an
// extent begins: pieces, cut into what an extent can hold.
func (b body) extents(sp *space, from int64) iter.Seq[ondisk.Extent] {
	return func(yield func(ondisk.Extent) bool) {
		for p := range b.pieces(sp, from) {
			for p.count > 0 {
				n := min(p.count, ondisk.ExtentMax)
				if !yield(ondisk.Extent{Block: uint32(p.logical), Len: uint16(n), Start: uint64(p.start)}) {
					return
				}
				p.logical, p.start, p.count = p.logical+n, p.start+n, p.count-n
			}
		}
	}
}

// extentsFor returns how many extents hold contiguous blocks.
func extentsFor(blocks int64) int64 { return (blocks + ondisk.ExtentMax - 1) / ondisk.ExtentMax }

// countExtents returns how many extents yields.
func (b body) countExtents(sp *space) int64 {
	count := int64(0)
	for p := range b.pieces(sp, 0) {
		count += extentsFor(p.count)
	}
	return count
}

// extentNodes returns how many blocks a tree of that many extents needs: as
// many leaves as it takes, and index nodes above them until the inode's four
// entries suffice. Every node but the last of its level is full, because
// e2fsck wants to rebuild trees that could be narrower or flatter.
func extentNodes(extents int64) int64 {
	nodes := int64(0)
	for n := extents; n > ondisk.ExtentsInInode; {
		n = (n + extentsPerNode - 1) / extentsPerNode
		nodes += n
	}
	return nodes
}

// extentTree is the extent tree of an inode. Its blocks are the leaves, then
// each level of index nodes above them:
//
//	i_block ──► index ──► leaf ──► data
//	            index ──► leaf ──► data
//	                      ...
type extentTree struct {
	body
	space *space
	seed  uint32 // of checksums, the inode's
	seal  bool   // there are checksums

	// leaves are the first blocks that each leaf maps; without leaves the
	// extents are in the inode.
	leaves []uint32
}

// extentLeaves returns the first block that each leaf of the tree maps, nil
// where the inode suffices.
func (b body) extentLeaves(sp *space) []uint32 {
	count := b.countExtents(sp)
	if count <= ondisk.ExtentsInInode {
		return nil
	}
	leaves := make([]uint32, 0, (count+extentsPerNode-1)/extentsPerNode)
	i := int64(0)
	for e := range b.extents(sp, 0) {
		if i%extentsPerNode == 0 {
			leaves = append(leaves, e.Block)
		}
		i++
	}
	return leaves
}

// level is one level of an extent tree: count nodes whose blocks begin at node
// first. Each node maps what stride leaves do.
type level struct{ depth, first, count, stride int64 }

// levels yields the levels upwards from the leaves.
func (t *extentTree) levels() iter.Seq[level] {
	return func(yield func(level) bool) {
		l := level{count: int64(len(t.leaves)), stride: 1}
		for l.count > 0 {
			if !yield(l) || l.count <= ondisk.ExtentsInInode {
				return
			}
			l = level{l.depth + 1, l.first + l.count, (l.count + extentsPerNode - 1) / extentsPerNode, l.stride * extentsPerNode}
		}
	}
}

func (t *extentTree) nodes() int64 {
	top := t.top()
	return top.first + top.count
}

// top returns the level that the inode points at.
func (t *extentTree) top() (top level) {
	for l := range t.levels() {
		top = l
	}
	return top
}

func (t *extentTree) root(p []byte) {
	if len(t.leaves) == 0 {
		t.putLeaf(p, 0, ondisk.ExtentsInInode)
		return
	}
	t.putIndex(p, t.top(), 0, ondisk.ExtentsInInode)
}

func (t *extentTree) node(p []byte, i int64) {
	var below level
	for l := range t.levels() {
		switch at := i - l.first; {
		case at >= l.count:
			below = l
			continue
		case l.depth == 0:
			t.putLeaf(p, int64(t.leaves[at]), extentsPerNode)
		default:
			t.putIndex(p, below, at*extentsPerNode, extentsPerNode)
		}
		break
	}
	if t.seal {
		ondisk.SetExtentTail(p, t.seed)
	}
}

// putLeaf writes a node of at most room extents, the first of which begins at
// block from.
func (t *extentTree) putLeaf(p []byte, from, room int64) {
	clear(p)
	entries := int64(0)
	for e := range t.extents(t.space, from) {
		if entries == room {
			break
		}
		e.Encode(p[ondisk.ExtentHeaderSize+entries*ondisk.ExtentSize:])
		entries++
	}
	ondisk.ExtentHeader{Entries: uint16(entries), Max: uint16(room)}.Encode(p)
}

// putIndex writes a node that points at up to room nodes of the level below
// from its first-th on.
func (t *extentTree) putIndex(p []byte, below level, first, room int64) {
	clear(p)
	entries := min(room, below.count-first)
	for i := range entries {
		ondisk.ExtentIndex{
			Block: t.leaves[(first+i)*below.stride],
			Node:  uint64(t.space.block(t.rank + t.blocks + below.first + first + i)),
		}.Encode(p[ondisk.ExtentHeaderSize+i*ondisk.ExtentSize:])
	}
	ondisk.ExtentHeader{Entries: uint16(entries), Max: uint16(room), Depth: uint16(below.depth + 1)}.Encode(p)
}
