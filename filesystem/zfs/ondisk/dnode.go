package ondisk

import "cmp"

// Sizes of dnodes and what they have room for (sys/dnode.h).
const (
	DNodeSize     = 512
	dnodeCoreSize = 64
	maxBonus      = DNodeSize - dnodeCoreSize - BlockPointerSize // 320

	// MaxBonusWithSpill is what is left of the bonus where the last 128
	// bytes point at a spill block.
	MaxBonusWithSpill = maxBonus - BlockPointerSize

	// MaxBonus is the largest bonus.
	MaxBonus = maxBonus

	maxPointers = 3

	// DNodeBlockSize is the size of the blocks of a meta dnode, 32 dnodes.
	DNodeBlockSize = 16 << 10
	DNodesPerBlock = DNodeBlockSize / DNodeSize

	// IndirectShift is the size of indirect blocks, 128 KiB, as a power of
	// two; PointersPerBlock how many block pointers they have.
	IndirectShift    = 17
	IndirectSize     = 1 << IndirectShift
	PointersShift    = IndirectShift - 7
	PointersPerBlock = 1 << PointersShift
)

// Flags of dnodes.
const (
	dnodeUsedBytes      = 1 // "used" counts bytes, not sectors
	dnodeUserAccounted  = 2
	dnodeSpill          = 4
	dnodeObjectCounted  = 8
	dnodeSpillPointerAt = DNodeSize - BlockPointerSize
)

// DNode is an object: what it is and where its blocks are.
//
//	0  type, indirect shift, levels, pointers, bonus type, checksum, compression, flags (u8 each)
//	8  data block size in sectors (u16), bonus size (u16), extra slots (u8)
//	16 last block (u64), 24 used bytes (u64), 32 nothing
//	64 block pointers, then bonus; the last 128 bytes are the spill pointer if there is one
type DNode struct {
	Type      Type
	Levels    int // 1: the pointers lead to data
	BonusType Type
	Bonus     []byte
	BlockSize int // of data in bytes, a multiple of 512
	LastBlock uint64
	// IndirectShift is the size of indirect blocks as a power of two, 0 for
	// the constant of that name; Slots how many times 512 bytes a dnode that
	// was decoded takes. [DNode.Encode] writes one.
	IndirectShift, Slots int
	Used                 int64 // bytes allocated, indirect and spill blocks included

	// Pointers are one to three: see [Pointers]. Nil is holes.
	Pointers []BlockPointer
	// Spill is nil if the attributes fit the bonus.
	Spill *BlockPointer

	// Accounted says that the object's bytes are counted among those of its
	// owner; Counted that the object is.
	Accounted, Counted bool
}

// Pointers returns how many block pointers a dnode has beside a bonus. Objects
// with system attributes have one, since those may grow.
func Pointers(bonusType Type, bonusSize int) int {
	if bonusType == TypeSA {
		return 1
	}
	return min(maxPointers, 1+(maxBonus-bonusSize)/BlockPointerSize)
}

// Encode writes the dnode to p.
func (d *DNode) Encode(p []byte) {
	p = p[:DNodeSize]
	clear(p)
	pointers := Pointers(d.BonusType, len(d.Bonus))
	flags := byte(0)
	if d.Used > 0 {
		flags |= dnodeUsedBytes
	}
	if d.Accounted {
		flags |= dnodeUserAccounted
	}
	if d.Counted {
		flags |= dnodeObjectCounted
	}
	bonusAt := dnodeCoreSize + pointers*BlockPointerSize
	copy(p[bonusAt:], d.Bonus)
	if d.Spill != nil {
		flags |= dnodeSpill
		d.Spill.Encode(p[dnodeSpillPointerAt:])
	}
	copy(p, []byte{byte(d.Type), byte(cmp.Or(d.IndirectShift, IndirectShift)), byte(d.Levels), byte(pointers), byte(d.BonusType), 0, 0, flags})
	le.PutUint16(p[8:], uint16(d.BlockSize/SectorSize))
	le.PutUint16(p[10:], uint16(len(d.Bonus)))
	le.PutUint64(p[16:], d.LastBlock)
	le.PutUint64(p[24:], uint64(d.Used))
	for i := range d.Pointers {
		d.Pointers[i].Encode(p[dnodeCoreSize+i*BlockPointerSize:])
	}
}

// An object set (objset_phys_t) is a block of 4 KiB:
//
//	0 meta dnode | 512 ZIL header, zeros | 704 type | 712 flags | 1024 user, 1536 group, 2048 project accounting
const (
	ObjsetSize = 4096

	objsetTypeAt  = 704
	objsetFlagsAt = 712
	objsetUserAt  = 1024
	objsetGroupAt = 1536

	objsetProjectAt = 2048

	// Flags: accounting of bytes by user and group, of objects by user and
	// group, and of both by project is complete.
	objsetUserAccounting    = 1
	objsetObjectAccounting  = 2
	objsetProjectAccounting = 4
)

// ObjsetType says what an object set is (dmu_objset_type_t).
type ObjsetType uint64

// Types of object sets: the pool's own, and a file system.
const (
	ObjsetMeta       ObjsetType = 1
	ObjsetFileSystem ObjsetType = 2
)

// Objset is an object set. UserUsed, GroupUsed and ProjectUsed are nil where nothing
// is accounted.
type Objset struct {
	Type                             ObjsetType
	Meta                             DNode
	UserUsed, GroupUsed, ProjectUsed *DNode
	ObjectsCounted                   bool // by user and group
}

// Encode returns the block.
func (o *Objset) Encode() []byte {
	p := make([]byte, ObjsetSize)
	o.Meta.Encode(p)
	flags := uint64(0)
	for _, account := range []struct {
		used *DNode
		at   int
		flag uint64
	}{
		{o.UserUsed, objsetUserAt, objsetUserAccounting},
		{o.GroupUsed, objsetGroupAt, objsetUserAccounting},
		{o.ProjectUsed, objsetProjectAt, objsetProjectAccounting},
	} {
		if account.used != nil {
			account.used.Encode(p[account.at:])
			flags |= account.flag
		}
	}
	if o.ObjectsCounted {
		flags |= objsetObjectAccounting
	}
	le.PutUint64(p[objsetTypeAt:], uint64(o.Type))
	le.PutUint64(p[objsetFlagsAt:], flags)
	return p
}
