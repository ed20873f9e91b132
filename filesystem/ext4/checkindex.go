package ext4

import (
	"encoding/binary"

	"diskwright/filesystem/ext4/ondisk"
)

// indexCheck is the check of a directory's hash tree. Leaves come in their order,
// not in that of the tree, so that what it says about each is kept until the end.
type indexCheck struct {
	*dirCheck
	version ondisk.HashVersion
	known   bool // the version, and names are not folded or encrypted
	levels  uint8
	ok      bool // there is a root
	blocks  map[uint32]*indexBlock
	nodes   []uint32 // inner nodes, as their parents name them
}

// indexBlock is what is known about a block of a hashed directory.
type indexBlock struct {
	refs     int
	depth    uint8  // 0 is a leaf
	min      uint32 // hashes that belong there, from
	max      uint64 // to, without
	overflow bool   // and max itself, whose names go on in the next block
	any      bool   // it has names, with hashes
	low, top uint32
}

func (x *indexCheck) bad(format string, args ...any) {
	x.list.Add(findHashTree, x.where, format, args...)
}

func (x *indexCheck) get(number uint32) *indexBlock {
	b := x.blocks[number]
	if b == nil {
		b = &indexBlock{}
		x.blocks[number] = b
	}
	return b
}

// build reads the root and the inner nodes of the tree ("Hash Tree Directories").
func (x *indexCheck) build() {
	p, ok := x.readDirBlock(0)
	if !ok {
		x.bad("it has no root")
		return
	}
	x.root(p)
	for len(x.nodes) > 0 {
		number := x.nodes[0]
		x.nodes = x.nodes[1:]
		b := x.blocks[number]
		p, ok := x.readDirBlock(uint64(number))
		if !ok {
			continue // finish tells
		}
		n, err := ondisk.DecodeDxNode(p, x.checksums())
		if err != nil {
			x.bad("block %d: %v", number, err)
			continue
		}
		if le := binary.LittleEndian; le.Uint32(p) != 0 || len(p) < 1<<16 && int(le.Uint16(p[4:])) != len(p) {
			x.bad("block %d does not begin with an empty entry", number)
		}
		x.children(&n, b.depth-1, b.min, b.max, b.overflow)
	}
}

func (x *indexCheck) root(p []byte) {
	n, err := ondisk.DecodeDxRoot(p, x.checksums())
	if err != nil {
		x.bad("%v", err)
		return
	}
	levelsMax := uint8(ondisk.DxLevelsMax)
	if x.super.Features.HasIncompat(ondisk.IncompatLargeDir) {
		levelsMax++
	}
	const info = 24 // offset of the root's info: a zero, version, length, levels, flags
	if binary.LittleEndian.Uint32(p[info:]) != 0 || p[info+7]&1 != 0 {
		x.bad("the root has %#x where zeros should be, and flags %#x", binary.LittleEndian.Uint32(p[info:]), p[info+7])
	}
	special := x.d.inode.Flags&(ondisk.FlagCaseFold|ondisk.FlagEncrypt) != 0
	switch {
	case n.Levels > levelsMax:
		x.bad("it has %d levels; %d is the most", n.Levels, levelsMax)
		return
	case n.Version > ondisk.HashTEA && !special:
		x.bad("names are hashed by function %d, which is unknown", n.Version)
	default:
		x.known = !special
	}
	x.version, x.levels, x.ok = x.super.DirHashVersion(n.Version), n.Levels, true
	x.children(&n, n.Levels, 0, 1<<32, false)
}

// isNode reports whether a block is an inner node by what the tree says.
func (x *indexCheck) isNode(number uint32) bool {
	b := x.blocks[number]
	return b != nil && b.refs > 0 && b.depth > 0
}

// children takes what a node says about the blocks below it, of depth levels
// above the leaves, and with hashes from low to high.
func (x *indexCheck) children(n *ondisk.DxNode, depth uint8, low uint32, high uint64, overflow bool) {
	from := low
	for i := range n.Len() {
		e := n.Entry(i)
		if i > 0 {
			if e.Hash&^1 < from&^1 || uint64(e.Hash&^1) >= high {
				x.bad("the hash %#x of an entry is not between %#x and %#x", e.Hash, from, high)
			}
			from = e.Hash
		}
		to, over := high, overflow
		if i+1 < n.Len() {
			next := n.Entry(i + 1).Hash
			to, over = uint64(next&^1), next&1 != 0
		}
		b := x.get(e.Block)
		if e.Block == 0 {
			x.bad("an entry leads to the root")
			continue
		}
		if b.refs++; b.refs > 1 {
			x.bad("block %d is there twice", e.Block)
			continue
		}
		b.depth, b.min, b.max, b.overflow = depth, from&^1, to, over
		if depth > 0 {
			x.nodes = append(x.nodes, e.Block)
		}
	}
}

// name takes a name in a leaf.
func (b *indexBlock) name(x *indexCheck, name []byte) {
	if x == nil || !x.known {
		return
	}
	major, _, ok := ondisk.DirHash(x.version, x.super.HashSeed, name)
	if !ok {
		return
	}
	if !b.any {
		b.any, b.low, b.top = true, major, major
	}
	b.low, b.top = min(b.low, major), max(b.top, major)
}

// finish compares what the tree says with the leaves.
func (x *indexCheck) finish(blocks uint64) {
	if !x.ok {
		return
	}
	for number := uint64(1); number < blocks; number++ {
		b := x.blocks[uint32(number)]
		switch {
		case b == nil || b.refs == 0:
			x.bad("block %d is not in the tree", number)
		case b.depth == 0 && b.any && (b.low < b.min || uint64(b.top) > b.max || uint64(b.top) == b.max && !b.overflow):
			x.bad("block %d has names with hashes %#x to %#x, and the tree says %#x to %#x", number, b.low, b.top, b.min, b.max)
		}
	}
	for number, b := range x.blocks {
		if uint64(number) >= blocks && b.refs > 0 {
			x.bad("an entry leads to block %d of %d", number, blocks)
		}
	}
}

// readDirBlock reads a block of the directory.
func (k *dirCheck) readDirBlock(logical uint64) ([]byte, bool) {
	for _, r := range k.d.runs {
		if logical >= r.logical && logical < r.logical+r.count {
			p, err := k.readBlock(r.physical + logical - r.logical)
			return p, err == nil
		}
	}
	return nil, false
}
