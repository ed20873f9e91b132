package volume

import (
	"encoding/binary"
	"errors"
	"fmt"

	"diskwright/diskmap"
	"diskwright/filesystem/zfs/ondisk"
)

// objset is an object set.
type objset struct {
	pool *Pool
	kind ondisk.ObjsetType
	meta *object
	*ondisk.ObjsetHeader
}

func (p *Pool) openObjset(b *ondisk.BlockPointer) (*objset, error) {
	if b.Type != ondisk.TypeObjset || b.Level != 0 {
		return nil, corrupt("a block of type %d and level %d in place of an object set", b.Type, b.Level)
	}
	data, err := p.readBlock(b)
	if err != nil {
		return nil, err
	}
	h, err := ondisk.DecodeObjset(data)
	if err != nil {
		return nil, corrupt("object set at %s: %v", place(b), err)
	}
	if h.Meta.Type != ondisk.TypeDNode || h.Meta.BlockSize%ondisk.DNodeSize != 0 || h.Meta.BlockSize == 0 {
		return nil, corrupt("object set at %s has a meta dnode of type %d", place(b), h.Meta.Type)
	}
	return &objset{pool: p, kind: h.Type, meta: &object{pool: p, DNode: h.Meta}, ObjsetHeader: h}, nil
}

// object is a dnode, and the blocks that it leads to.
type object struct {
	pool   *Pool
	number uint64
	ondisk.DNode
}

// maxObject is one more than the largest number of an object (DN_MAX_OBJECT).
const maxObject = 1 << 48

// object returns the object of a number, which must be in use.
func (s *objset) object(number uint64) (*object, error) {
	if number == 0 || number >= maxObject {
		return nil, corrupt("object %d", number)
	}
	perBlock := uint64(s.meta.BlockSize / ondisk.DNodeSize)
	block, err := s.meta.block(number / perBlock)
	if err != nil {
		return nil, fmt.Errorf("dnode %d: %w", number, err)
	}
	if block == nil {
		return nil, corrupt("object %d is not in use", number)
	}
	d, err := ondisk.DecodeDNode(block[number%perBlock*ondisk.DNodeSize:])
	if err != nil {
		return nil, corrupt("object %d: %v", number, err)
	}
	if d.Type == ondisk.TypeNone {
		return nil, corrupt("object %d is not in use", number)
	}
	return &object{s.pool, number, d}, nil
}

// shift is how many bits of a block's number each level takes.
func (o *object) shift() int { return o.IndirectShift - 7 }

// pointer returns the pointer to a block of a level, 0 of data.
func (o *object) pointer(level int, index uint64) (b ondisk.BlockPointer, err error) {
	if level == o.Levels-1 {
		if index < uint64(len(o.Pointers)) {
			b = o.Pointers[index]
		}
		return b, o.checkPointer(&b, level)
	}
	above, err := o.pointer(level+1, index>>o.shift())
	if err != nil || above.IsHole() {
		return b, err
	}
	data, err := o.pool.readBlock(&above)
	if err != nil {
		return b, err
	}
	if b, err = ondisk.DecodeBlockPointer(data[index&(1<<o.shift()-1)*ondisk.BlockPointerSize:]); err != nil {
		return b, corrupt("object %d: %v", o.number, err)
	}
	return b, o.checkPointer(&b, level)
}

// checkPointer returns an error if a pointer cannot be one of the object's of a
// level.
func (o *object) checkPointer(b *ondisk.BlockPointer, level int) error {
	size := o.BlockSize
	if level > 0 {
		size = 1 << o.IndirectShift
	}
	if !b.IsHole() && (int(b.Level) != level || b.LogicalSize != size) {
		return corrupt("object %d has a block of level %d with %d bytes in place of one of level %d with %d", o.number, b.Level, b.LogicalSize, level, size)
	}
	return nil
}

// block returns a block of data, nil if that is a hole. It must not be changed.
func (o *object) block(index uint64) ([]byte, error) {
	if index > o.LastBlock {
		return nil, nil
	}
	b, err := o.pointer(0, index)
	if err != nil {
		return nil, err
	}
	return o.pool.readBlock(&b)
}

// readFull fills p with the bytes of the object from off on. Holes, and what is
// behind its end, are zeros.
func (o *object) readFull(p []byte, off int64) error {
	size := int64(o.BlockSize)
	for len(p) > 0 {
		block, err := o.block(uint64(off / size))
		if err != nil {
			return fmt.Errorf("object %d: %w", o.number, err)
		}
		n := min(int64(len(p)), size-off%size)
		if block == nil {
			clear(p[:n])
		} else {
			copy(p[:n], block[off%size:])
		}
		p, off = p[n:], off+n
	}
	return nil
}

// word returns the number at an index of an object that is an array of numbers.
func (o *object) word(index uint64) (uint64, error) {
	var p [8]byte
	if index >= 1<<40 {
		return 0, corrupt("object %d is an array with an index %d", o.number, index)
	}
	err := o.readFull(p[:], int64(index)*8)
	return binary.LittleEndian.Uint64(p[:]), err
}

var errTooMany = errors.New("too many blocks")

// runs calls each for the runs of blocks of data among the first blocks, of which
// there is one at least, that are not holes, in order.
func (o *object) runs(blocks uint64, each func(from, count uint64) error) error {
	last := min(blocks-1, o.LastBlock)
	// Where as many blocks are in use as there are, there is no need to look.
	fill := uint64(0)
	for i := range o.Pointers {
		if o.Levels > 1 && o.Pointers[i].Embedded == nil {
			fill += min(o.Pointers[i].Fill, maxObject)
		}
	}
	if o.Levels > 1 && o.LastBlock < maxObject && fill == o.LastBlock+1 {
		return each(0, last+1)
	}
	w := &runWalk{object: o, last: last, each: each, budget: uint64(o.pool.data/ondisk.SectorSize) + 1<<20}
	for i := range o.Pointers {
		if err := w.pointer(&o.Pointers[i], o.Levels-1, uint64(i)); err != nil {
			return fmt.Errorf("object %d: %w", o.number, err)
		}
	}
	return w.flush()
}

// runWalk goes through the pointers of an object. A hostile pool may have a tree in
// which many pointers lead to one block: no more are followed than the pool has
// sectors.
type runWalk struct {
	*object
	last        uint64
	budget      uint64
	from, count uint64
	each        func(from, count uint64) error
}

func (w *runWalk) pointer(b *ondisk.BlockPointer, level int, index uint64) error {
	if b.IsHole() || index > w.last>>(level*w.shift()) {
		return nil
	}
	if w.budget == 0 {
		return corrupt("%v", errTooMany)
	}
	w.budget--
	if err := w.checkPointer(b, level); err != nil {
		return err
	}
	if level == 0 {
		if w.count > 0 && w.from+w.count == index {
			w.count++
			return nil
		}
		err := w.flush()
		w.from, w.count = index, 1
		return err
	}
	data, err := w.pool.readBlock(b)
	if err != nil {
		return err
	}
	for i := uint64(0); len(data) > 0; data, i = data[ondisk.BlockPointerSize:], i+1 {
		child, err := ondisk.DecodeBlockPointer(data)
		if err != nil {
			return corrupt("%v", err)
		}
		if err := w.pointer(&child, level-1, index<<w.shift()|i); err != nil {
			return err
		}
	}
	return nil
}

func (w *runWalk) flush() error {
	if w.count == 0 {
		return nil
	}
	n := w.count
	w.count = 0
	return w.each(w.from, n)
}

// content returns the first size bytes of the object as a map with its holes. It is
// read when it is asked for.
func (o *object) content(size int64) (*diskmap.Map, error) {
	block := int64(o.BlockSize)
	var b diskmap.Builder
	err := o.runs(uint64((size-1)/block+1), func(from, count uint64) error {
		if from > uint64(size)/uint64(block) {
			return nil
		}
		off := int64(from) * block
		n := size - off
		if count < uint64((n-1)/block+1) {
			n = int64(count) * block
		}
		b.Place(off, &fileRange{o, off, n})
		return nil
	})
	if err != nil {
		return nil, err
	}
	m, err := b.Map(size)
	if err != nil {
		return nil, corrupt("object %d: %v", o.number, err)
	}
	return m, nil
}
