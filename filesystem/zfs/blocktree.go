package zfs

import (
	"slices"

	"diskwright/filesystem/zfs/ondisk"
)

// blockTree makes the indirect blocks of an object while its blocks come in, in
// ascending order. Each level has one indirect block open.
//
//	dnode        |  pointer  |  1 to 3
//	level 2      |p|p|p|...|    1,024
//	level 1   |p|p|...| |p|...|
//	level 0   data
type blockTree struct {
	set    *objset
	typ    ondisk.Type
	levels int
	root   []ondisk.BlockPointer
	open   []indirect // by level - 1
	used   int64      // bytes allocated
}

// indirect is an indirect block that is being filled.
type indirect struct {
	data  []byte // nil: not open
	index int64  // among those of its level
	fill  uint64
}

// newTree returns a tree for so many blocks, whose dnode has so many pointers. It
// has at least minLevels levels.
func (s *objset) newTree(typ ondisk.Type, blocks int64, pointers, minLevels int) *blockTree {
	t := new(blockTree)
	t.begin(s, typ, blocks, pointers, minLevels)
	return t
}

// begin makes t such a tree. The pointers that a tree before it gave to a dnode are
// not valid any more.
func (t *blockTree) begin(s *objset, typ ondisk.Type, blocks int64, pointers, minLevels int) {
	*t = blockTree{set: s, typ: typ, levels: 1, root: zeros(t.root, pointers), open: t.open}
	// Shifting blocks down instead of the capacity up does not overflow.
	for rest := blocks; rest > int64(pointers) || t.levels < minLevels; t.levels++ {
		rest = (rest-1)>>ondisk.PointersShift + 1
	}
	t.open = zeros(t.open, t.levels-1)
}

// zeros returns n zeros, in the memory of s if that suffices.
func zeros[T any](s []T, n int) []T {
	s = slices.Grow(s[:0], n)[:n]
	clear(s)
	return s
}

// add puts a pointer to block index of level 0 into the tree.
func (t *blockTree) add(index int64, b *ondisk.BlockPointer) {
	if !b.IsHole() {
		t.used += b.AllocatedSize()
		t.put(0, index, b)
	}
}

// put puts a pointer to a block of a level into the block above.
func (t *blockTree) put(level int, index int64, b *ondisk.BlockPointer) {
	if level == t.levels-1 {
		t.root[index] = *b
		return
	}
	above := &t.open[level]
	parent := index >> ondisk.PointersShift
	if above.data != nil && above.index != parent {
		t.flush(level)
	}
	if above.data == nil {
		*above = indirect{data: t.set.pool.indirectBuffer(), index: parent}
	}
	b.Encode(above.data[index&(ondisk.PointersPerBlock-1)*ondisk.BlockPointerSize:])
	above.fill += b.Fill
}

// flush writes the open block above a level.
func (t *blockTree) flush(level int) {
	above := t.open[level]
	t.open[level] = indirect{}
	b := t.set.write(above.data, block{t.typ, uint8(level + 1), above.fill})
	t.set.pool.indirects = append(t.set.pool.indirects, above.data)
	t.used += b.AllocatedSize()
	t.put(level+1, above.index, &b)
}

// finish writes what is open and completes the dnode.
func (t *blockTree) finish(d *ondisk.DNode) {
	for level := range t.open {
		if t.open[level].data != nil {
			t.flush(level)
		}
	}
	d.Levels = t.levels
	d.Pointers = t.root
	d.Used += t.used
}
