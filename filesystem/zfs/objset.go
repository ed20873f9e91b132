package zfs

import (
	"bytes"

	"diskwright/content"
	"diskwright/filesystem/zfs/ondisk"
)

// birth is the transaction group in which everything was written. It is later than
// that of the origin snapshot, 1.
const birth = 4

// block says what is in a block that is written.
type block struct {
	typ   ondisk.Type
	level uint8
	fill  uint64
}

// objset is an object set that is being written.
type objset struct {
	pool   *pool
	kind   ondisk.ChecksumKind
	copies func(block) int // of a block of metadata
	space  ondisk.Space    // of everything written so far
}

// write puts a block of metadata into the pool, compressed if that helps. A block
// of zeros is a hole.
func (s *objset) write(data []byte, what block) ondisk.BlockPointer {
	if isZero(data) {
		return ondisk.BlockPointer{}
	}
	p := s.pool
	mayEmbed := p.features.has(featureEmbeddedData) && what.level == 0 && !what.typ.HasFill()
	st := p.packer.store(data, mayEmbed)
	b := ondisk.BlockPointer{
		LogicalSize: len(data), PhysicalSize: len(st.data), Compression: ondisk.CompressionOff,
		Type: what.typ, Level: what.level, Birth: birth, Fill: what.fill,
	}
	if st.packed {
		b.Compression = p.metadata.compression
	}
	if st.embedded {
		b.Embedded = bytes.Clone(st.data)
	} else {
		b.Addresses = p.space.take(len(st.data), s.copies(what))
		b.ChecksumKind, b.Checksum = s.kind, s.kind.Sum(st.data)
		p.place(&b, st.data)
	}
	s.space.Count(&b)
	return b
}

// place puts a copy of data where all copies of a block lie. Zeros at its end are
// left to the hole behind it.
func (p *pool) place(b *ondisk.BlockPointer, data []byte) {
	n := len(data)
	for n > 0 && data[n-1] == 0 {
		n--
	}
	source := content.Bytes(append(make([]byte, 0, n), data[:n]...))
	for _, at := range b.Addresses {
		if at.Size > 0 {
			p.disk.Place(ondisk.DataOffset+at.Offset, source)
		}
	}
}

// fill writes the data of an object, cut into blocks of the dnode's size, and
// completes the dnode. The last block may be short.
func (s *objset) fill(d *ondisk.DNode, data []byte) {
	size := d.BlockSize
	blocks := (len(data) + size - 1) / size
	t := s.newTree(d.Type, int64(blocks), ondisk.Pointers(d.BonusType, len(d.Bonus)), 1)
	for i := range blocks {
		piece := data[i*size : min((i+1)*size, len(data))]
		if len(piece) < size {
			piece = append(make([]byte, 0, size), piece...)[:size]
		}
		b := s.write(piece, block{d.Type, 0, 1})
		t.add(int64(i), &b)
	}
	d.LastBlock = uint64(max(blocks-1, 0))
	t.finish(d)
}

// zap makes an object a ZAP of entries.
func (s *objset) zap(d *ondisk.DNode, entries []ondisk.ZAPEntry, salt uint64) error {
	return s.directory(d, entries, salt, 0)
}

// directory makes an object a ZAP that normalizes names.
func (s *objset) directory(d *ondisk.DNode, entries []ondisk.ZAPEntry, salt uint64, how ondisk.Normalization) error {
	z, err := ondisk.EncodeNormalizedZAP(entries, salt, how)
	if err != nil {
		return err
	}
	d.BlockSize = z.BlockSize
	s.fill(d, z.Data)
	return nil
}

// dnodes writes the dnodes of an object set, which come in ascending order, into
// the blocks of its meta dnode.
type dnodes struct {
	tree  *blockTree
	block []byte
	index int64 // of block
	fill  uint64
	count uint64 // of all
}

func (s *objset) newDNodes(last uint64, minLevels int) *dnodes {
	return &dnodes{
		tree:  s.newTree(ondisk.TypeDNode, int64(last/ondisk.DNodesPerBlock)+1, ondisk.Pointers(ondisk.TypeNone, 0), minLevels),
		block: make([]byte, ondisk.DNodeBlockSize),
	}
}

// add writes the dnode of object number.
func (n *dnodes) add(number uint64, d *ondisk.DNode) {
	if index := int64(number / ondisk.DNodesPerBlock); index != n.index {
		n.flush()
		n.index = index
	}
	d.Encode(n.block[number%ondisk.DNodesPerBlock*ondisk.DNodeSize:])
	n.fill++
	n.count++
}

func (n *dnodes) flush() {
	b := n.tree.set.write(n.block, block{ondisk.TypeDNode, 0, n.fill})
	n.tree.add(n.index, &b)
	clear(n.block)
	n.fill = 0
}

// finish returns the meta dnode.
func (n *dnodes) finish() ondisk.DNode {
	n.flush()
	d := ondisk.DNode{Type: ondisk.TypeDNode, BlockSize: ondisk.DNodeBlockSize, LastBlock: uint64(n.index)}
	n.tree.finish(&d)
	return d
}
