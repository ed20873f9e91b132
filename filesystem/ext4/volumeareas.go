package ext4

import (
	"cmp"
	"fmt"
	"slices"

	"diskwright/filesystem/ext4/ondisk"
)

// Area is a run of blocks that belongs to the file system itself.
type Area struct {
	First, Count uint64
	Kind         AreaKind
	Group        uint64
}

// AreaKind is what an area holds.
type AreaKind int

// The kinds of areas.
const (
	SuperblockArea AreaKind = iota
	DescriptorArea          // and room for more of them
	BlockBitmapArea
	InodeBitmapArea
	InodeTableArea
	JournalArea // of no group
)

// String says what the area is.
func (a Area) String() string {
	switch a.Kind {
	case SuperblockArea:
		return fmt.Sprintf("superblock of group %d", a.Group)
	case DescriptorArea:
		return fmt.Sprintf("descriptors in group %d", a.Group)
	case BlockBitmapArea:
		return fmt.Sprintf("block bitmap of group %d", a.Group)
	case InodeBitmapArea:
		return fmt.Sprintf("inode bitmap of group %d", a.Group)
	case InodeTableArea:
		return fmt.Sprintf("inode table of group %d", a.Group)
	}
	return "journal"
}

// Areas returns what the file system has for itself, by its superblock and its
// descriptors, in the order of blocks: superblocks, descriptors and room for
// more of them, bitmaps, inode tables, the journal. Blocks that map files,
// directories and attributes are not among them.
func (v *Volume) Areas() ([]Area, error) {
	s := v.super
	var list []Area
	add := func(first, count uint64, kind AreaKind, group uint64) {
		if count > 0 && first < s.Blocks {
			list = append(list, Area{first, min(count, s.Blocks-first), kind, group})
		}
	}
	superBlock := uint64(ondisk.SuperblockOffset / v.block)
	tableBlocks := (uint64(s.InodesPerGroup)*uint64(s.InodeSize) + uint64(v.block) - 1) / uint64(v.block)
	for g := range s.Groups() {
		d, err := v.groupDesc(g)
		if err != nil {
			return nil, fmt.Errorf("group %d: %w", g, err)
		}
		start := uint64(s.FirstDataBlock) + g*uint64(s.BlocksPerGroup)
		if g == 0 {
			start = superBlock
		}
		if hasSuperCopy(s, g) {
			add(start, 1, SuperblockArea, g)
			add(start+1, v.descBlocks()+uint64(s.ReservedGDT), DescriptorArea, g)
		}
		add(d.BlockBitmap, 1, BlockBitmapArea, g)
		add(d.InodeBitmap, 1, InodeBitmapArea, g)
		add(d.InodeTable, tableBlocks, InodeTableArea, g)
	}
	if s.JournalInode != 0 && s.Features.HasCompat(ondisk.CompatHasJournal) {
		n, err := v.Node(s.JournalInode)
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		err = v.runs(n, (n.Size+uint64(v.block)-1)/uint64(v.block), func(r mapping) error {
			add(r.physical, r.count, JournalArea, 0)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
	}
	slices.SortStableFunc(list, func(a, b Area) int { return cmp.Compare(a.First, b.First) })
	return list, nil
}

// descBlocks returns how many blocks the descriptors at one place take.
func (v *Volume) descBlocks() uint64 {
	perBlock := uint64(v.block) / uint64(v.super.GroupDescSize())
	n := (v.super.Groups() + perBlock - 1) / perBlock
	if v.super.Features.HasIncompat(ondisk.IncompatMetaBG) {
		n = min(n, max(uint64(v.super.FirstMetaBG), 1))
	}
	return n
}

// Groups returns the descriptors of all groups.
func (v *Volume) Groups() ([]ondisk.GroupDesc, error) {
	list := make([]ondisk.GroupDesc, 0, min(v.super.Groups(), 1<<16))
	for g := range v.super.Groups() {
		d, err := v.groupDesc(g)
		if err != nil {
			return nil, fmt.Errorf("group %d: %w", g, err)
		}
		list = append(list, d)
	}
	return list, nil
}

// Allocated reports whether a block is in use, by its group's bitmap.
func (v *Volume) Allocated(block uint64) (bool, error) {
	s := v.super
	if block < uint64(s.FirstDataBlock) || block >= s.Blocks {
		return false, nil
	}
	group := (block - uint64(s.FirstDataBlock)) / uint64(s.BlocksPerGroup)
	d, err := v.groupDesc(group)
	flagsCount := s.Features.HasROCompat(ondisk.ROCompatMetadataCsum) || s.Features.HasROCompat(ondisk.ROCompatGDTChecksum)
	if err != nil || flagsCount && d.Flags&ondisk.GroupBlockUninit != 0 {
		return false, err
	}
	bitmap, err := v.readBlock(d.BlockBitmap)
	if err != nil {
		return false, err
	}
	bit := (block - uint64(s.FirstDataBlock)) % uint64(s.BlocksPerGroup) >> (s.LogClusterSize - s.LogBlockSize)
	return bitmap[bit/8]&(1<<(bit%8)) != 0, nil
}
