package ext4

import (
	"encoding/binary"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/filesystem/ext4/ondisk"
)

// superblock returns the superblock of group g: the file system's own in group
// 0, else a backup.
func (u *usage) superblock(g int64) *ondisk.Superblock {
	s := &ondisk.Superblock{
		Inodes:           uint32(u.Inodes),
		FreeInodes:       uint32(u.Inodes - int64(u.inodes)),
		Blocks:           uint64(u.Blocks),
		ReservedBlocks:   uint64(u.ReservedBlocks),
		FreeBlocks:       uint64(u.freeBlocks()),
		LogBlockSize:     logBlockSize,
		LogClusterSize:   logBlockSize,
		BlocksPerGroup:   uint32(u.BlocksPerGroup),
		ClustersPerGroup: uint32(u.BlocksPerGroup),
		InodesPerGroup:   uint32(u.InodesPerGroup),
		WriteTime:        u.opts.Epoch,
		MkfsTime:         u.opts.Epoch,
		MaxMounts:        ondisk.NoMaxMounts,
		ErrorBehaviour:   ondisk.ErrorsContinue,
		Revision:         ondisk.DynamicRevision,
		FirstInode:       ondisk.InoFirst,
		InodeSize:        inodeSize,
		Group:            uint16(min(g, 0xffff)), // as mke2fs says of those beyond
		Features:         u.Features,
		UUID:             u.opts.UUID,
		Label:            u.opts.Label,
		ReservedGDT:      uint16(u.ReservedGDT),
		HashSeed:         u.opts.HashSeed,
		HashVersion:      ondisk.HashHalfMD4,
		MountOptions:     ondisk.MountUserXattr | ondisk.MountACL,
		MinExtraSize:     ondisk.ExtraInodeSize,
		WantExtraSize:    ondisk.ExtraInodeSize,
		Flags:            ondisk.SuperSignedHash,
		OverheadClusters: uint32(u.overhead),
	}
	if g == 0 {
		// Backups are not clean: e2fsck has to check what it restores
		// from one.
		s.State = ondisk.StateClean
	}
	if u.extents() {
		s.DescSize = uint16(u.DescSize)
		s.LogGroupsPerFlex = logFlexGroups
		// The counter for the life of the disk starts with every block in
		// use written once. (mke2fs counts its own writes.)
		s.KBytesWritten = uint64(u.Blocks-u.freeBlocks()) * (blockSize / 1024)
	}
	if u.checksums() {
		s.ChecksumType = ondisk.ChecksumCRC32C
	}
	if u.Features.HasIncompat(ondisk.IncompatCsumSeed) {
		s.ChecksumSeed = u.seed
	}
	if u.hasOrphanFile() {
		s.OrphanFileInode = orphanInode
	}
	if u.hasJournal() {
		u.backUpJournal(s)
	}
	return s
}

// backUpJournal puts a copy of the journal's inode into the superblock, from
// which e2fsck restores the inode.
func (u *usage) backUpJournal(s *ondisk.Superblock) {
	inode := u.journalInode()
	s.JournalInode = ondisk.InoJournal
	s.JournalBackupType = ondisk.JournalBackupBlocks
	words := len(inode.Block) / 4
	for i := range words {
		s.JournalBackup[i] = binary.LittleEndian.Uint32(inode.Block[4*i:])
	}
	s.JournalBackup[words] = uint32(inode.Size >> 32)
	s.JournalBackup[words+1] = uint32(inode.Size)
}

// placeSuperblocks puts the superblock and the group descriptors, and their
// backups, into b. The first 1,024 bytes of the file system belong to a boot
// loader.
func (u *usage) placeSuperblocks(b *diskmap.Builder) {
	u.placeSuperblock(b, 0, ondisk.SuperblockOffset)
	for _, g := range u.backups() {
		u.placeSuperblock(b, g, 0)
	}
}

func (u *usage) placeSuperblock(b *diskmap.Builder, g, offset int64) {
	super := make([]byte, ondisk.SuperblockSize)
	u.superblock(g).Encode(super)
	at := u.groupStart(g) * blockSize
	b.Place(at+offset, content.Bytes(super))
	b.Place(at+blockSize, u.descriptors)
}
