package ext4

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"diskwright/content"
	"diskwright/filesystem/ext4/ondisk"
	"diskwright/finding"
	"diskwright/progress"
)

// Kinds of findings of [Check].
const (
	findSuper       = "superblock"
	findBackup      = "backup"
	findChecksum    = "checksum"
	findDescriptor  = "group-descriptor"
	findBlockBitmap = "block-bitmap"
	findInodeBitmap = "inode-bitmap"
	findFreeCount   = "free-count"
	findInode       = "inode"
	findBlocks      = "block-map"
	findBlockCount  = "block-count"
	findShared      = "shared-blocks"
	findXattr       = "xattr"
	findDirectory   = "directory"
	findHashTree    = "hash-tree"
	findLinks       = "link-count"
	findUnattached  = "unattached"
	findJournal     = "journal"
	findOrphan      = "orphan"
	findResize      = "resize-inode"
	findUnreadable  = "unreadable"
	findUnknown     = "not-checked"
)

// checkable are the incompatible features that the check knows: all that a
// reader copes with.
const checkable = readable

// Compatible features that are known, to e2fsck, too.
const (
	knownCompat = ondisk.CompatDirPrealloc | compatIMagic | ondisk.CompatHasJournal | ondisk.CompatExtAttr | ondisk.CompatResizeInode |
		ondisk.CompatDirIndex | ondisk.CompatSparseSuper2 | ondisk.CompatFastCommit | ondisk.CompatStableInodes | ondisk.CompatOrphanFile
	compatIMagic  = 0x2
	knownROCompat = ondisk.ROCompatSparseSuper | ondisk.ROCompatLargeFile | ondisk.ROCompatHugeFile | ondisk.ROCompatGDTChecksum |
		ondisk.ROCompatDirNLink | ondisk.ROCompatExtraISize | ondisk.ROCompatQuota | ondisk.ROCompatBigAlloc | ondisk.ROCompatMetadataCsum |
		ondisk.ROCompatReadOnly | ondisk.ROCompatProject | ondisk.ROCompatVerity | ondisk.ROCompatOrphanPresent
)

// Check looks for what is wrong with the ext2, ext3 or ext4 in the size bytes of
// r, as e2fsck -f -n does, and adds it to list. It goes on after whatever it
// finds; an error is only what ends it: a cancelled context, and [ErrNotExt].
//
// Its passes are e2fsck's: inodes and the blocks that they have, names in
// directories, directories' places in the tree, link counts, bitmaps and counts.
// It keeps a bit for each cluster and each inode, and six bytes for each inode,
// of groups in which something is used; what the descriptors say was never
// initialised is not read.
func Check(ctx context.Context, r io.ReaderAt, size int64, list *finding.List, sink progress.Sink) error {
	c := &checker{ctx: ctx, list: list, done: progress.Adder(sink)}
	ok, err := c.open(r, size)
	if err != nil || !ok {
		return err
	}
	progress.Phase(sink, "checking ext4", c.inodeTableBytes())
	for _, pass := range []func() error{
		c.backups, c.fixedBlocks, c.inodes, c.special, c.directories, c.connectivity, c.linkCounts, c.bitmaps,
	} {
		if err := pass(); err != nil {
			return err
		}
	}
	return nil
}

// checker is the state of a check.
type checker struct {
	*Volume
	ctx   context.Context
	list  *finding.List
	done  func(int64)
	limit uint64 // blocks of the file system that there are
	ratio uint64 // blocks in a cluster

	descs  []ondisk.GroupDesc
	used   clusterSet
	budget int64 // of blocks to mark: a hostile image may have many times its size
	groups []groupState
	dirs   []*dirState // in the order of their inodes
	byIno  map[uint32]*dirState

	xattrBlocks map[uint64]*checkedXattrs
	eaRefs      map[uint32]uint64 // of inodes that hold a value of an attribute
	eaInodes    map[uint32]uint64 // and what they say
	mmp         uint64            // block of multi-mount protection, 0 for none
}

// groupState is what the inodes of a group are, by their index.
type groupState struct {
	inUse []uint64
	modes []uint8  // upper four bits of i_mode
	links []uint16 // i_links_count
	found []uint16 // names, saturated
	dirs  uint32
	count uint32 // in use
}

// open reads the superblock and the descriptors. Without these nothing else can
// be checked: then ok is false.
func (c *checker) open(r io.ReaderAt, size int64) (ok bool, err error) {
	if size < ondisk.SuperblockOffset+ondisk.SuperblockSize {
		return false, ErrNotExt
	}
	p := make([]byte, ondisk.SuperblockSize)
	if err := content.ReadFull(r, p, ondisk.SuperblockOffset); err != nil {
		return false, err
	}
	if binary.LittleEndian.Uint16(p[0x38:]) != ondisk.SuperMagic {
		return false, ErrNotExt
	}
	if binary.LittleEndian.Uint32(p[0x64:])&ondisk.ROCompatMetadataCsum != 0 && !ondisk.CheckSuperblock(p) {
		c.list.Add(findChecksum, "superblock", "its checksum is wrong")
	}
	s, err := ondisk.DecodeSuperblock(p)
	if err != nil {
		c.list.Add(findSuper, "superblock", "%v; nothing else can be checked", err)
		return false, nil
	}
	if unknown := s.Features.Incompat &^ checkable; unknown != 0 {
		c.list.Add(findUnknown, "superblock", "incompatible features %#x are not known here; nothing else can be checked", unknown)
		return false, nil
	}
	c.Volume = &Volume{device: io.NewSectionReader(r, 0, size), super: s, seed: s.Seed(), block: int64(s.BlockSize())}
	c.limit = s.Blocks
	if there := uint64(size) / uint64(c.block); there < c.limit {
		c.list.Add(findSuper, "superblock", "the file system has %d blocks of %d bytes, and there are %d", s.Blocks, c.block, there)
		c.limit = there
	}
	if c.limit <= uint64(s.FirstDataBlock) || s.Groups() > maxCheckedGroups {
		c.list.Add(findSuper, "superblock", "%d groups of %d blocks are too many; nothing else can be checked", s.Groups(), s.BlocksPerGroup)
		return false, nil
	}
	c.ratio = 1
	if s.Features.HasROCompat(ondisk.ROCompatBigAlloc) {
		c.ratio = 1 << (s.LogClusterSize - s.LogBlockSize)
	}
	c.checkSuperblock(p)
	c.byIno = make(map[uint32]*dirState)
	c.xattrBlocks = make(map[uint64]*checkedXattrs)
	c.eaRefs, c.eaInodes = make(map[uint32]uint64), make(map[uint32]uint64)
	c.groups = make([]groupState, s.Groups())
	c.used = newClusterSet(c.limit, c.ratio, s)
	c.budget = 4*int64(s.Blocks) + 1<<20
	if s.Features.HasIncompat(ondisk.IncompatMMP) {
		c.mmp = binary.LittleEndian.Uint64(p[0x168:])
	}
	return true, c.readDescriptors()
}

// maxCheckedGroups bounds the memory that a superblock alone can ask for: 16 TiB
// in groups of 8 MiB have as many.
const maxCheckedGroups = 1 << 21

// unreadable adds what cannot be read to the findings, and returns what ends the
// check.
func (c *checker) unreadable(where string, err error) error {
	if ctxErr := c.ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	c.list.Add(findUnreadable, where, "%v", err)
	return nil
}

// checkSuperblock checks what DecodeSuperblock leaves: e2fsck's
// check_super_block.
func (c *checker) checkSuperblock(p []byte) {
	s, where := c.super, "superblock"
	bad := func(format string, args ...any) { c.list.Add(findSuper, where, format, args...) }
	f := s.Features
	if compat, ro := f.Compat&^knownCompat, f.ROCompat&^knownROCompat; compat != 0 || ro != 0 {
		c.list.Add(findUnknown, where, "features %#x, and %#x for writers, are not known here", compat, ro)
	}
	if s.ReservedBlocks > s.Blocks/2 {
		bad("%d of %d blocks are reserved: more than half", s.ReservedBlocks, s.Blocks)
	}
	switch {
	case s.Revision > ondisk.DynamicRevision:
		bad("revision %d; the last one is %d", s.Revision, ondisk.DynamicRevision)
	case s.Revision == 0 && f != (ondisk.Features{}):
		bad("revision 0 has no features, but %+v are set", f)
	}
	if s.Revision > 0 && s.FirstInode > s.Inodes {
		bad("the first inode is %d, of %d", s.FirstInode, s.Inodes)
	}
	if s.UUID == [16]byte{} {
		bad("it has no UUID")
	}
	if s.Group != 0 {
		bad("it says to be the copy in group %d", s.Group)
	}
	if s.State&ondisk.StateErrors != 0 {
		bad("it is marked as having errors")
	}
	if s.State&ondisk.StateClean == 0 && !f.HasIncompat(ondisk.IncompatRecover) {
		bad("it was not unmounted")
	}
	if s.ErrorCount != 0 {
		bad("the kernel has recorded %d errors", s.ErrorCount)
	}
	if f.HasIncompat(ondisk.IncompatRecover) {
		c.list.Add(findJournal, where, "the journal has not been replayed: what is checked is the state before")
	}
	if s.LastOrphan != 0 {
		c.list.Add(findOrphan, where, "the list of orphans begins with inode %d", s.LastOrphan)
	}
	if f.HasROCompat(ondisk.ROCompatOrphanPresent) {
		c.list.Add(findOrphan, where, "the orphan file may hold orphans")
	}
	if f.HasROCompat(ondisk.ROCompatMetadataCsum) && f.HasROCompat(ondisk.ROCompatGDTChecksum) {
		bad("it has both uninit_bg and metadata_csum")
	}
	if f.HasIncompat(ondisk.IncompatCsumSeed) && !f.HasROCompat(ondisk.ROCompatMetadataCsum) {
		bad("it has metadata_csum_seed without metadata_csum")
	}
	if f.HasCompat(ondisk.CompatResizeInode) && f.HasIncompat(ondisk.IncompatMetaBG) {
		bad("it has both resize_inode and meta_bg")
	}
	if s.JournalUUID != [16]byte{} && (s.JournalInode != 0 || !f.HasCompat(ondisk.CompatHasJournal)) {
		bad("it names a journal on another disk, beside its own or none")
	}
	if !f.HasCompat(ondisk.CompatOrphanFile) && s.OrphanFileInode != 0 {
		bad("it names inode %d as orphan file, and has none", s.OrphanFileInode)
	}
	if quota := f.HasROCompat(ondisk.ROCompatQuota); !quota && s.UserQuotaInode|s.GroupQuotaInode != 0 || !(quota && f.HasROCompat(ondisk.ROCompatProject)) && s.ProjectQuotaInode != 0 {
		bad("it names inodes with quotas, and has none")
	}
	if !f.HasCompat(ondisk.CompatResizeInode) && s.ReservedGDT != 0 && !f.HasIncompat(ondisk.IncompatMetaBG) {
		bad("%d blocks are reserved for descriptors, without resize_inode", s.ReservedGDT)
	}
	if s.HashVersion > ondisk.HashTEA {
		bad("it hashes directories by function %d", s.HashVersion)
	}
	if s.Flags&(ondisk.SuperSignedHash|ondisk.SuperUnsignedHash) == ondisk.SuperSignedHash|ondisk.SuperUnsignedHash {
		bad("characters of hashed names are both signed and unsigned")
	}
	if s.LogGroupsPerFlex > 31 {
		bad("flexible groups of 1 << %d", s.LogGroupsPerFlex)
	}
	if s.InodeSize > ondisk.OldInodeSize {
		room := s.InodeSize - ondisk.OldInodeSize
		if s.MinExtraSize > room || s.MinExtraSize%4 != 0 {
			bad("inodes should have at least %d bytes more than 128; there are %d", s.MinExtraSize, room)
		}
		if s.WantExtraSize > room || s.WantExtraSize%4 != 0 {
			bad("inodes should have %d bytes more than 128; there are %d", s.WantExtraSize, room)
		}
	}
	if c.ratio == 1 && s.Revision > 0 && (s.LogClusterSize != s.LogBlockSize || s.ClustersPerGroup != s.BlocksPerGroup) {
		bad("clusters of 1024 << %d bytes, %d in a group; blocks of 1024 << %d, %d in a group: without bigalloc they are equal",
			s.LogClusterSize, s.ClustersPerGroup, s.LogBlockSize, s.BlocksPerGroup)
	}
	if c.ratio > 1 && uint64(s.ClustersPerGroup)*c.ratio != uint64(s.BlocksPerGroup) {
		bad("%d clusters of %d blocks are not the %d blocks of a group", s.ClustersPerGroup, c.ratio, s.BlocksPerGroup)
	}
	if s.BlocksPerGroup%8 != 0 || s.BlocksPerGroup < 256 {
		bad("groups of %d blocks", s.BlocksPerGroup)
	}
	if s.FirstMetaBG != 0 && f.HasIncompat(ondisk.IncompatMetaBG) && uint64(s.FirstMetaBG) > c.tableBlocks() {
		bad("the first meta block group is %d, of %d", s.FirstMetaBG, c.tableBlocks())
	}
	if f.HasROCompat(ondisk.ROCompatMetadataCsum) && p[0x175] != ondisk.ChecksumCRC32C {
		bad("checksums of type %d; %d, CRC-32C, is known", p[0x175], ondisk.ChecksumCRC32C)
	}
}

// tableBlocks is the number of blocks of the table of descriptors.
func (c *checker) tableBlocks() uint64 {
	perBlock := uint64(c.block) / uint64(c.super.GroupDescSize())
	return (c.super.Groups() + perBlock - 1) / perBlock
}

func group(n uint64) string          { return fmt.Sprintf("group %d", n) }
func inodeName(number uint32) string { return fmt.Sprintf("inode %d", number) }

// groupFirst returns the first block of a group, and how many it has.
func (c *checker) groupBlocks(g uint64) (first, count uint64) {
	first = uint64(c.super.FirstDataBlock) + g*uint64(c.super.BlocksPerGroup)
	return first, min(uint64(c.super.BlocksPerGroup), c.super.Blocks-first)
}

// descChecksums reports whether descriptors have checksums, and with that flags.
func (c *checker) descChecksums() bool {
	return c.checksums() || c.super.Features.HasROCompat(ondisk.ROCompatGDTChecksum)
}

// readDescriptors reads the table, and checks each by itself.
func (c *checker) readDescriptors() error {
	s := c.super
	size := uint64(s.GroupDescSize())
	perBlock := uint64(c.block) / size
	c.descs = make([]ondisk.GroupDesc, s.Groups())
	for g := uint64(0); g < s.Groups(); g += perBlock {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		p, err := c.readBlock(c.descBlock(g / perBlock))
		if err != nil {
			if err := c.unreadable("group descriptors", err); err != nil {
				return err
			}
			continue
		}
		for i := g; i < min(g+perBlock, s.Groups()); i++ {
			c.descriptor(i, p[(i-g)*size:][:size])
		}
	}
	return nil
}

// descriptor checks the descriptor of a group.
func (c *checker) descriptor(g uint64, p []byte) {
	s, d := c.super, ondisk.DecodeGroupDesc(p)
	where := group(g)
	bad := func(format string, args ...any) { c.list.Add(findDescriptor, where, format, args...) }
	var sum uint16
	switch {
	case c.checksums():
		sum = ondisk.GroupDescChecksum(p, uint32(g), c.seed)
	case c.descChecksums():
		sum = groupChecksum16(s.UUID, uint32(g), p)
	default:
		sum = d.Checksum
		if d.Flags&(ondisk.GroupInodeUninit|ondisk.GroupBlockUninit) != 0 {
			bad("it is marked as not initialised, which only file systems with checksums of descriptors know")
			d.Flags = 0
		}
		d.UnusedInodes = 0
	}
	if sum != d.Checksum {
		c.list.Add(findChecksum, where, "the checksum of its descriptor is wrong")
		// e2fsck believes neither flag then.
		d.Flags &^= ondisk.GroupInodeUninit | ondisk.GroupBlockUninit
		d.UnusedInodes = 0
	}
	first, count := c.groupBlocks(g)
	low, high := uint64(s.FirstDataBlock), c.limit
	if !s.Features.HasIncompat(ondisk.IncompatFlexBG) {
		low, high = first, min(first+count, c.limit)
	}
	table := c.tableLength()
	for _, place := range []struct {
		what   string
		at     *uint64
		length uint64
	}{{"block bitmap", &d.BlockBitmap, 1}, {"inode bitmap", &d.InodeBitmap, 1}, {"inode table", &d.InodeTable, table}} {
		if *place.at < low || *place.at >= high || place.length > high-*place.at {
			bad("its %s of %d blocks is at %d, outside of %d to %d", place.what, place.length, *place.at, low, high-1)
			*place.at = 0 // there is none
		}
	}
	if d.UnusedInodes > s.InodesPerGroup {
		bad("%d inodes at the end are said to be unused, of %d", d.UnusedInodes, s.InodesPerGroup)
		d.UnusedInodes = 0
	}
	if d.Flags&ondisk.GroupBlockUninit != 0 && g == s.Groups()-1 && g > 0 {
		bad("the block bitmap of the last group is marked as not initialised")
	}
	if d.Flags&ondisk.GroupInodeUninit != 0 {
		d.UnusedInodes = s.InodesPerGroup
	}
	c.descs[g] = d
}

// tableLength is the number of blocks of a group's inode table.
func (c *checker) tableLength() uint64 {
	return (uint64(c.super.InodesPerGroup)*uint64(c.super.InodeSize) + uint64(c.block) - 1) / uint64(c.block)
}

// inodeTableBytes is what there is to read of the inode tables.
func (c *checker) inodeTableBytes() (n int64) {
	for i := range c.descs {
		n += int64(c.super.InodesPerGroup-c.descs[i].UnusedInodes) * int64(c.super.InodeSize)
	}
	return n
}

// groupChecksum16 is the checksum of a descriptor with uninit_bg: CRC-16 over the
// file system's UUID, the group's number and the descriptor without its checksum.
func groupChecksum16(uuid [16]byte, g uint32, p []byte) uint16 {
	const at = 0x1e
	crc := crc16(0xffff, uuid[:])
	crc = crc16(crc, binary.LittleEndian.AppendUint32(nil, g))
	crc = crc16(crc, p[:at])
	return crc16(crc, p[at+2:])
}

// crc16 continues CRC-16/ARC, as lib/crc16.c of the kernel has it.
func crc16(crc uint16, p []byte) uint16 {
	for _, b := range p {
		crc ^= uint16(b)
		for range 8 {
			carry := crc & 1
			crc >>= 1
			if carry != 0 {
				crc ^= 0xa001
			}
		}
	}
	return crc
}

// Features that the kernel sets when it writes, and that copies of the superblock
// therefore may not have.
const (
	lateCompat   = ondisk.CompatExtAttr
	lateIncompat = ondisk.IncompatRecover | ondisk.IncompatExtents
	lateROCompat = ondisk.ROCompatLargeFile | ondisk.ROCompatDirNLink | ondisk.ROCompatOrphanPresent
)

// backups compares the copies of the superblock and of the descriptors with the
// primary ones, in what nobody changes in the primary only.
func (c *checker) backups() error {
	s := c.super
	for g := uint64(1); g < s.Groups(); g++ {
		if !hasSuperCopy(s, g) {
			continue
		}
		if err := c.ctx.Err(); err != nil {
			return err
		}
		first, _ := c.groupBlocks(g)
		where := fmt.Sprintf("superblock in group %d", g)
		p, err := c.readBlock(first)
		if err != nil {
			if err := c.unreadable(where, err); err != nil {
				return err
			}
			continue
		}
		c.backupSuper(where, g, p[:ondisk.SuperblockSize])
	}
	return c.backupDescriptors()
}

func (c *checker) backupSuper(where string, g uint64, p []byte) {
	s := c.super
	b, err := ondisk.DecodeSuperblock(p)
	if err != nil {
		c.list.Add(findBackup, where, "%v", err)
		return
	}
	if !ondisk.CheckSuperblock(p) {
		c.list.Add(findChecksum, where, "its checksum is wrong")
	}
	differ := func(what string, is, should any) {
		c.list.Add(findBackup, where, "%s is %v, and %v in the primary", what, is, should)
	}
	if s.Revision > 0 && uint64(b.Group) != min(g, 0xffff) && uint64(b.Group) != g&0xffff {
		c.list.Add(findBackup, where, "it says to be the copy in group %d", b.Group)
	}
	if b.UUID != s.UUID {
		differ("the UUID", fmt.Sprintf("%x", b.UUID), fmt.Sprintf("%x", s.UUID))
	}
	if (b.Features.Compat^s.Features.Compat)&^lateCompat != 0 ||
		(b.Features.Incompat^s.Features.Incompat)&^lateIncompat != 0 ||
		(b.Features.ROCompat^s.Features.ROCompat)&^lateROCompat != 0 {
		differ("the set of features", fmt.Sprintf("%#x", b.Features), fmt.Sprintf("%#x", s.Features))
	}
	for _, field := range []struct {
		name       string
		is, should uint64
	}{
		{"the number of blocks", b.Blocks, s.Blocks}, {"the number of inodes", uint64(b.Inodes), uint64(s.Inodes)},
		{"the size of a block", uint64(b.LogBlockSize), uint64(s.LogBlockSize)},
		{"the number of blocks in a group", uint64(b.BlocksPerGroup), uint64(s.BlocksPerGroup)},
		{"the number of inodes in a group", uint64(b.InodesPerGroup), uint64(s.InodesPerGroup)},
		{"the size of an inode", uint64(b.InodeSize), uint64(s.InodeSize)},
		{"the first data block", uint64(b.FirstDataBlock), uint64(s.FirstDataBlock)},
		{"the number of blocks reserved for descriptors", uint64(b.ReservedGDT), uint64(s.ReservedGDT)},
		{"the journal's inode", uint64(b.JournalInode), uint64(s.JournalInode)},
		{"the size of a descriptor", uint64(b.DescSize), uint64(s.DescSize)},
	} {
		if field.is != field.should {
			differ(field.name, field.is, field.should)
		}
	}
}

// maxDescCopies bounds how many blocks of copies are read. Without sparse_super
// there may be as many as the square of the groups.
const maxDescCopies = 1 << 22

// backupDescriptors compares the places in the copies of the descriptors. Their
// counts are as old as the file system.
func (c *checker) backupDescriptors() error {
	s := c.super
	size := uint64(s.GroupDescSize())
	perBlock := uint64(c.block) / size
	left := maxDescCopies
	for g := uint64(0); g < s.Groups() && left > 0; g++ {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		for _, b := range c.descCopies(g) {
			if left--; left < 0 {
				c.list.Add(findUnknown, "group descriptors", "there are more copies than are compared")
				break
			}
			where := fmt.Sprintf("group descriptors in block %d", b.block)
			p, err := c.readBlock(b.block)
			if err != nil {
				if err := c.unreadable(where, err); err != nil {
					return err
				}
				continue
			}
			from := b.table * perBlock
			for i := from; i < min(from+perBlock, s.Groups()); i++ {
				d, primary := ondisk.DecodeGroupDesc(p[(i-from)*size:][:size]), c.descs[i]
				if primary.BlockBitmap != 0 && d.BlockBitmap != primary.BlockBitmap ||
					primary.InodeBitmap != 0 && d.InodeBitmap != primary.InodeBitmap ||
					primary.InodeTable != 0 && d.InodeTable != primary.InodeTable {
					c.list.Add(findBackup, where, "group %d has its bitmaps and inodes at %d, %d and %d, and at %d, %d and %d by the primary", i,
						d.BlockBitmap, d.InodeBitmap, d.InodeTable, primary.BlockBitmap, primary.InodeBitmap, primary.InodeTable)
				}
			}
		}
	}
	return nil
}
