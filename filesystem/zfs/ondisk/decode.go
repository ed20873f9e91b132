package ondisk

import (
	"errors"
	"fmt"
)

// Numbers that bound what is decoded (sys/dnode.h).
const (
	maxDNodeSize = 16 << 10 // with the feature large_dnode
	maxLevels    = 8

	minIndirectShift = 10 // smaller ones were never made: 8 pointers
	maxIndirectShift = 17
)

// dnodeSize returns how many bytes a dnode takes whose first 512 bytes are in p.
func dnodeSize(p []byte) int { return (1 + int(p[12])) * DNodeSize }

// DecodeDNode decodes the dnode that p begins with. One of the type [TypeNone] is
// not in use.
func DecodeDNode(p []byte) (DNode, error) {
	if len(p) < DNodeSize {
		return DNode{}, errors.New("a dnode is cut short")
	}
	if Type(p[0]) == TypeNone {
		return DNode{}, nil
	}
	d := DNode{
		Type: Type(p[0]), IndirectShift: int(p[1]), Levels: int(p[2]), BonusType: Type(p[4]),
		Accounted: p[7]&dnodeUserAccounted != 0, Counted: p[7]&dnodeObjectCounted != 0,
		BlockSize: int(le.Uint16(p[8:])) * SectorSize,
		Slots:     1 + int(p[12]),
		LastBlock: le.Uint64(p[16:]),
		Used:      int64(le.Uint64(p[24:])),
	}
	if p[7]&dnodeUsedBytes == 0 {
		d.Used *= SectorSize
	}
	pointers, bonus, size := int(p[3]), int(le.Uint16(p[10:])), dnodeSize(p)
	bonusAt := dnodeCoreSize + pointers*BlockPointerSize
	end := size
	if p[7]&dnodeSpill != 0 {
		end -= BlockPointerSize
	}
	switch {
	case size > len(p):
		return d, fmt.Errorf("a dnode of %d bytes with %d behind its beginning", size, len(p))
	case pointers < 1 || pointers > maxPointers:
		return d, fmt.Errorf("a dnode with %d block pointers", pointers)
	case d.Levels < 1 || d.Levels > maxLevels:
		return d, fmt.Errorf("a dnode with %d levels", d.Levels)
	case d.IndirectShift < minIndirectShift || d.IndirectShift > maxIndirectShift:
		return d, fmt.Errorf("a dnode with indirect blocks of 1<<%d bytes", d.IndirectShift)
	case d.BlockSize == 0:
		return d, errors.New("a dnode with blocks of no bytes")
	case bonusAt+bonus > end:
		return d, fmt.Errorf("a dnode of %d bytes with %d block pointers and a bonus of %d bytes", size, pointers, bonus)
	case d.Used < 0:
		return d, fmt.Errorf("a dnode with %d bytes in use", uint64(d.Used))
	}
	d.Bonus = append([]byte(nil), p[bonusAt:bonusAt+bonus]...)
	d.Pointers = make([]BlockPointer, pointers)
	for i := range d.Pointers {
		var err error
		if d.Pointers[i], err = DecodeBlockPointer(p[dnodeCoreSize+i*BlockPointerSize:]); err != nil {
			return d, err
		}
	}
	if p[7]&dnodeSpill != 0 {
		spill, err := DecodeBlockPointer(p[size-BlockPointerSize:])
		if err != nil {
			return d, err
		}
		d.Spill = &spill
	}
	return d, nil
}

// Sizes of objset blocks before there was accounting of users, and of projects.
const (
	objsetSizeV1 = 1024
	objsetSizeV2 = 2048

	objsetZILAt = 512
)

// ObjsetHeader is what a reader wants of an object set.
type ObjsetHeader struct {
	Type ObjsetType
	Meta DNode
	// Accounts are the dnodes that account for users, groups and projects; of
	// the type [TypeNone] where they are not there.
	Accounts [3]DNode
	// Log is the first block of the intent log, which has what is not in the
	// object set yet. It is a hole if the log is empty.
	Log BlockPointer
}

// DecodeObjset decodes the block of an object set.
func DecodeObjset(p []byte) (*ObjsetHeader, error) {
	if len(p) < objsetSizeV1 {
		return nil, fmt.Errorf("an object set of %d bytes", len(p))
	}
	o := &ObjsetHeader{Type: ObjsetType(le.Uint64(p[objsetTypeAt:]))}
	var err error
	if o.Meta, err = DecodeDNode(p); err != nil {
		return nil, err
	}
	if o.Log, err = DecodeBlockPointer(p[objsetZILAt+16:]); err != nil {
		return nil, fmt.Errorf("intent log: %w", err)
	}
	for i, at := range []int{objsetUserAt, objsetGroupAt, objsetProjectAt} {
		if at+DNodeSize > len(p) || len(p) < objsetSizeV2 {
			break
		}
		if o.Accounts[i], err = DecodeDNode(p[at:]); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// DecodeDSLDir decodes the bonus of a directory of datasets.
func DecodeDSLDir(p []byte) (DSLDir, error) {
	if len(p) < dslDirSize {
		return DSLDir{}, fmt.Errorf("a directory of datasets with a bonus of %d bytes", len(p))
	}
	word := func(i int) uint64 { return le.Uint64(p[8*i:]) }
	return DSLDir{
		Created: word(0), Head: word(1), Parent: word(2), Origin: word(3), ChildMap: word(4),
		Used:       Space{int64(word(5)), int64(word(6)), int64(word(7))},
		Properties: word(10),
		UsedHead:   int64(word(13)),
		Clones:     word(18),
	}, nil
}

// DecodeDSLDataset decodes the bonus of a dataset or snapshot.
func DecodeDSLDataset(p []byte) (DSLDataset, error) {
	if len(p) < dslDatasetSize {
		return DSLDataset{}, fmt.Errorf("a dataset with a bonus of %d bytes", len(p))
	}
	word := func(i int) uint64 { return le.Uint64(p[8*i:]) }
	b, err := DecodeBlockPointer(p[datasetPointerAt:])
	return DSLDataset{
		Dir: word(0), Previous: word(1), PreviousTXG: word(2), Next: word(3), SnapshotNames: word(4), Children: word(5),
		Created: word(6), CreatedTXG: word(7), Deadlist: word(8),
		Referenced: Space{int64(word(9)), int64(word(10)), int64(word(11))},
		FSID:       word(13), GUID: word(14),
		Pointer:    b,
		NextClones: word(32),
	}, err
}

// BlockList is the bonus of a list of block pointers (bpobj_phys_t).
type BlockList struct {
	Count uint64 // of block pointers, which are what is in the object
	// Lists is an object that has the numbers of further lists, SubLists of
	// them; 0 is none.
	Lists, SubLists uint64
}

// bpobjSizeV0 is the size of the bonus before there were lists in lists.
const bpobjSizeV0 = 16

// DecodeBlockList decodes the bonus.
func DecodeBlockList(p []byte) (BlockList, error) {
	if len(p) < bpobjSizeV0 {
		return BlockList{}, fmt.Errorf("a list of block pointers with a bonus of %d bytes", len(p))
	}
	l := BlockList{Count: le.Uint64(p)}
	if len(p) >= BPObjBonus {
		l.Lists, l.SubLists = le.Uint64(p[32:]), le.Uint64(p[40:])
	}
	return l, nil
}

// A gang header has up to three pointers to the pieces of a block for which there
// was no room in one place, and an embedded checksum (zio_gbh_phys_t).
const (
	GangSize     = 512
	gangPointers = 3
)

// DecodeGang decodes the gang header at an address of the block b, the first of its
// copies. Pieces that are holes are left out.
func DecodeGang(p []byte, b *BlockPointer) ([]BlockPointer, error) {
	birth := b.PhysicalBirth
	if birth == 0 {
		birth = b.Birth
	}
	if len(p) != GangSize || !sealedBy(p, Checksum{uint64(b.Addresses[0].Device), uint64(b.Addresses[0].Offset), birth}) {
		return nil, errors.New("the checksum of a gang header is wrong")
	}
	var pieces []BlockPointer
	for i := range gangPointers {
		piece, err := DecodeBlockPointer(p[i*BlockPointerSize:])
		if err != nil {
			return nil, fmt.Errorf("gang header: %w", err)
		}
		if !piece.IsHole() {
			pieces = append(pieces, piece)
		}
	}
	return pieces, nil
}

// ObjsetVolume is the type of the object set of a volume, a disk (DMU_OST_ZVOL).
const ObjsetVolume ObjsetType = 3

// A block of an intent log begins with where the next one is, and an embedded
// checksum that covers what is used of it (zil_chain_t): fletcher4 with the checksum
// in the block's pointer for a verifier.
//
//	| nothing (u64) | pointer to the next block | used (u64) | embedded checksum | records |
const (
	logNextAt   = 8
	logUsedAt   = logNextAt + BlockPointerSize
	logSealAt   = logUsedAt + 8
	logHeader   = logSealAt + embeddedSize
	logUnit     = 4096 // used is rounded up to this when it is summed (ZIL_MIN_BLKSZ)
	checksumZIL = 9    // ZILOG2: that of such a block
	logMagic    = embeddedMagic
)

// DecodeLogBlock returns what a block of an intent log leads to, and whether it has
// records. It is not ok if nothing was written to the block.
func DecodeLogBlock(p []byte, b *BlockPointer) (next BlockPointer, used, ok bool) {
	if b.ChecksumKind != checksumZIL || len(p) < logUnit || le.Uint64(p[logSealAt:]) != logMagic {
		return next, false, false
	}
	n := le.Uint64(p[logUsedAt:])
	if n < logHeader || n > uint64(len(p)) {
		return next, false, false
	}
	block := append([]byte(nil), p[:min(roundUp(int(n), logUnit), len(p))]...)
	b.Checksum.encode(block[logSealAt+8:])
	if Fletcher4(block) != decodeChecksum(p[logSealAt+8:]) {
		return next, false, false
	}
	next, err := DecodeBlockPointer(p[logNextAt:])
	return next, n > logHeader, err == nil
}
