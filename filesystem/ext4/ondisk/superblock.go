package ondisk

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// Where the superblock is: 1,024 bytes behind the file system's start whatever
// its block size; copies begin their groups.
const (
	SuperblockOffset = 1024
	SuperblockSize   = 1024

	SuperMagic    = 0xef53
	superChecksum = 0x3fc // offset of s_checksum
	// DynamicRevision is the s_rev_level with inode sizes and features.
	DynamicRevision = 1
	// ChecksumCRC32C is the only s_checksum_type.
	ChecksumCRC32C = 1
	maxLogBlock    = 6 // 64 KiB
)

// Values of State.
const (
	StateClean  uint16 = 1 // unmounted properly
	StateErrors uint16 = 2
)

// ErrorsContinue is the ErrorBehaviour that carries on.
const ErrorsContinue uint16 = 1

// Default mount options ("s_default_mount_opts").
const (
	MountUserXattr uint32 = 0x04
	MountACL       uint32 = 0x08
)

// Superblock flags ("s_flags"): what char was where directories were hashed.
const (
	SuperSignedHash   uint32 = 1
	SuperUnsignedHash uint32 = 2
)

// JournalBackupBlocks is the JournalBackupType that says that JournalBackup
// holds the journal inode's i_block and size.
const JournalBackupBlocks = 1

// NoMaxMounts is the MaxMounts that turns checks by number of mounts off.
const NoMaxMounts uint16 = 0xffff

// Superblock is a decoded superblock ("Super Block"). Fields that are zero in
// everything that mke2fs makes and that nobody here reads (the records of errors,
// of snapshots, of encryption) are left out.
type Superblock struct {
	Inodes, FreeInodes                 uint32
	Blocks, ReservedBlocks, FreeBlocks uint64

	FirstDataBlock                  uint32 // 1 with blocks of 1,024 bytes, else 0
	LogBlockSize, LogClusterSize    uint32 // block size is 1024 << LogBlockSize
	BlocksPerGroup, InodesPerGroup  uint32
	ClustersPerGroup                uint32
	MountTime, WriteTime            int64 // seconds since 1970, as are all times here
	MkfsTime, LastCheck             int64
	CheckInterval                   uint32
	Mounts, MaxMounts               uint16
	State, ErrorBehaviour           uint16
	MinorRevision                   uint16
	CreatorOS, Revision             uint32
	ReservedUID, ReservedGID        uint16
	FirstInode                      uint32
	InodeSize                       uint16
	Group                           uint16 // that holds this copy
	Features                        Features
	UUID                            [16]byte
	Label                           string // up to 16 bytes
	LastMounted                     string // up to 64 bytes
	ReservedGDT                     uint16
	JournalUUID                     [16]byte // of an external journal
	JournalInode, JournalDevice     uint32
	LastOrphan                      uint32
	HashSeed                        [16]byte
	HashVersion                     HashVersion
	JournalBackupType               uint8
	DescSize                        uint16 // as stored: 0 without 64bit
	MountOptions                    uint32
	FirstMetaBG                     uint32
	JournalBackup                   [17]uint32 // i_block, size's upper half, lower half
	MinExtraSize, WantExtraSize     uint16
	Flags                           uint32
	RaidStride                      uint16
	RaidStripeWidth                 uint32
	LogGroupsPerFlex                uint8
	ChecksumType                    uint8
	KBytesWritten                   uint64
	ErrorCount                      uint32
	UserQuotaInode, GroupQuotaInode uint32
	ProjectQuotaInode               uint32
	OverheadClusters                uint32
	BackupGroups                    [2]uint32 // with sparse_super2
	LostFoundInode                  uint32
	ChecksumSeed                    uint32
	Encoding, EncodingFlags         uint16
	OrphanFileInode                 uint32
	Checksum                        uint32 // as read; Encode computes it
}

// Encode writes the superblock to p of 1,024 bytes, with its checksum if the
// features say so.
func (s *Superblock) Encode(p []byte) {
	le := binary.LittleEndian
	clear(p)
	le.PutUint32(p[0x000:], s.Inodes)
	le.PutUint32(p[0x004:], uint32(s.Blocks))
	le.PutUint32(p[0x008:], uint32(s.ReservedBlocks))
	le.PutUint32(p[0x00c:], uint32(s.FreeBlocks))
	le.PutUint32(p[0x010:], s.FreeInodes)
	le.PutUint32(p[0x014:], s.FirstDataBlock)
	le.PutUint32(p[0x018:], s.LogBlockSize)
	le.PutUint32(p[0x01c:], s.LogClusterSize)
	le.PutUint32(p[0x020:], s.BlocksPerGroup)
	le.PutUint32(p[0x024:], s.ClustersPerGroup)
	le.PutUint32(p[0x028:], s.InodesPerGroup)
	le.PutUint32(p[0x02c:], uint32(s.MountTime))
	le.PutUint32(p[0x030:], uint32(s.WriteTime))
	le.PutUint16(p[0x034:], s.Mounts)
	le.PutUint16(p[0x036:], s.MaxMounts)
	le.PutUint16(p[0x038:], SuperMagic)
	le.PutUint16(p[0x03a:], s.State)
	le.PutUint16(p[0x03c:], s.ErrorBehaviour)
	le.PutUint16(p[0x03e:], s.MinorRevision)
	le.PutUint32(p[0x040:], uint32(s.LastCheck))
	le.PutUint32(p[0x044:], s.CheckInterval)
	le.PutUint32(p[0x048:], s.CreatorOS)
	le.PutUint32(p[0x04c:], s.Revision)
	le.PutUint16(p[0x050:], s.ReservedUID)
	le.PutUint16(p[0x052:], s.ReservedGID)
	le.PutUint32(p[0x054:], s.FirstInode)
	le.PutUint16(p[0x058:], s.InodeSize)
	le.PutUint16(p[0x05a:], s.Group)
	le.PutUint32(p[0x05c:], s.Features.Compat)
	le.PutUint32(p[0x060:], s.Features.Incompat)
	le.PutUint32(p[0x064:], s.Features.ROCompat)
	copy(p[0x068:0x078], s.UUID[:])
	copy(p[0x078:0x088], s.Label)
	copy(p[0x088:0x0c8], s.LastMounted)
	le.PutUint16(p[0x0ce:], s.ReservedGDT)
	copy(p[0x0d0:0x0e0], s.JournalUUID[:])
	le.PutUint32(p[0x0e0:], s.JournalInode)
	le.PutUint32(p[0x0e4:], s.JournalDevice)
	le.PutUint32(p[0x0e8:], s.LastOrphan)
	copy(p[0x0ec:0x0fc], s.HashSeed[:])
	p[0x0fc] = byte(s.HashVersion)
	p[0x0fd] = s.JournalBackupType
	le.PutUint16(p[0x0fe:], s.DescSize)
	le.PutUint32(p[0x100:], s.MountOptions)
	le.PutUint32(p[0x104:], s.FirstMetaBG)
	le.PutUint32(p[0x108:], uint32(s.MkfsTime))
	for i, word := range s.JournalBackup {
		le.PutUint32(p[0x10c+4*i:], word)
	}
	le.PutUint32(p[0x150:], uint32(s.Blocks>>32))
	le.PutUint32(p[0x154:], uint32(s.ReservedBlocks>>32))
	le.PutUint32(p[0x158:], uint32(s.FreeBlocks>>32))
	le.PutUint16(p[0x15c:], s.MinExtraSize)
	le.PutUint16(p[0x15e:], s.WantExtraSize)
	le.PutUint32(p[0x160:], s.Flags)
	le.PutUint16(p[0x164:], s.RaidStride)
	le.PutUint32(p[0x170:], s.RaidStripeWidth)
	p[0x174] = s.LogGroupsPerFlex
	p[0x175] = s.ChecksumType
	le.PutUint64(p[0x178:], s.KBytesWritten)
	le.PutUint32(p[0x194:], s.ErrorCount)
	le.PutUint32(p[0x240:], s.UserQuotaInode)
	le.PutUint32(p[0x244:], s.GroupQuotaInode)
	le.PutUint32(p[0x248:], s.OverheadClusters)
	le.PutUint32(p[0x24c:], s.BackupGroups[0])
	le.PutUint32(p[0x250:], s.BackupGroups[1])
	le.PutUint32(p[0x268:], s.LostFoundInode)
	le.PutUint32(p[0x26c:], s.ProjectQuotaInode)
	le.PutUint32(p[0x270:], s.ChecksumSeed)
	p[0x274] = byte(s.WriteTime >> 32)
	p[0x275] = byte(s.MountTime >> 32)
	p[0x276] = byte(s.MkfsTime >> 32)
	p[0x277] = byte(s.LastCheck >> 32)
	le.PutUint16(p[0x27c:], s.Encoding)
	le.PutUint16(p[0x27e:], s.EncodingFlags)
	le.PutUint32(p[0x280:], s.OrphanFileInode)
	if s.Features.HasROCompat(ROCompatMetadataCsum) {
		le.PutUint32(p[superChecksum:], Checksum(NoSeed, p[:superChecksum]))
	}
}

// DecodeSuperblock reads the superblock in p, 1,024 bytes, and validates what
// every other computation depends on: after it, sizes are sane, and divisions
// by BlocksPerGroup and InodesPerGroup possible. It verifies no checksum (see
// [CheckSuperblock]) and judges no features.
func DecodeSuperblock(p []byte) (*Superblock, error) {
	if len(p) < SuperblockSize {
		return nil, fmt.Errorf("superblock of %d bytes instead of %d", len(p), SuperblockSize)
	}
	le := binary.LittleEndian
	if magic := le.Uint16(p[0x038:]); magic != SuperMagic {
		return nil, fmt.Errorf("superblock has magic %#04x instead of %#04x", magic, SuperMagic)
	}
	s := &Superblock{
		Inodes:            le.Uint32(p[0x000:]),
		Blocks:            uint64(le.Uint32(p[0x004:])),
		ReservedBlocks:    uint64(le.Uint32(p[0x008:])),
		FreeBlocks:        uint64(le.Uint32(p[0x00c:])),
		FreeInodes:        le.Uint32(p[0x010:]),
		FirstDataBlock:    le.Uint32(p[0x014:]),
		LogBlockSize:      le.Uint32(p[0x018:]),
		LogClusterSize:    le.Uint32(p[0x01c:]),
		BlocksPerGroup:    le.Uint32(p[0x020:]),
		ClustersPerGroup:  le.Uint32(p[0x024:]),
		InodesPerGroup:    le.Uint32(p[0x028:]),
		MountTime:         superTime(p, 0x02c, 0x275),
		WriteTime:         superTime(p, 0x030, 0x274),
		Mounts:            le.Uint16(p[0x034:]),
		MaxMounts:         le.Uint16(p[0x036:]),
		State:             le.Uint16(p[0x03a:]),
		ErrorBehaviour:    le.Uint16(p[0x03c:]),
		MinorRevision:     le.Uint16(p[0x03e:]),
		LastCheck:         superTime(p, 0x040, 0x277),
		CheckInterval:     le.Uint32(p[0x044:]),
		CreatorOS:         le.Uint32(p[0x048:]),
		Revision:          le.Uint32(p[0x04c:]),
		ReservedUID:       le.Uint16(p[0x050:]),
		ReservedGID:       le.Uint16(p[0x052:]),
		FirstInode:        InoFirst,
		InodeSize:         OldInodeSize,
		Checksum:          le.Uint32(p[superChecksum:]),
		HashVersion:       HashVersion(p[0x0fc]),
		JournalBackupType: p[0x0fd],
	}
	if s.Revision >= DynamicRevision {
		s.decodeDynamic(p)
	}
	if err := s.validate(); err != nil {
		return nil, err
	}
	return s, nil
}

// decodeDynamic reads what revision 0 does not have.
func (s *Superblock) decodeDynamic(p []byte) {
	le := binary.LittleEndian
	s.FirstInode = le.Uint32(p[0x054:])
	s.InodeSize = le.Uint16(p[0x058:])
	s.Group = le.Uint16(p[0x05a:])
	s.Features = Features{le.Uint32(p[0x05c:]), le.Uint32(p[0x060:]), le.Uint32(p[0x064:])}
	copy(s.UUID[:], p[0x068:])
	s.Label = cString(p[0x078:0x088])
	s.LastMounted = cString(p[0x088:0x0c8])
	s.ReservedGDT = le.Uint16(p[0x0ce:])
	copy(s.JournalUUID[:], p[0x0d0:])
	s.JournalInode = le.Uint32(p[0x0e0:])
	s.JournalDevice = le.Uint32(p[0x0e4:])
	s.LastOrphan = le.Uint32(p[0x0e8:])
	copy(s.HashSeed[:], p[0x0ec:])
	s.DescSize = le.Uint16(p[0x0fe:])
	s.MountOptions = le.Uint32(p[0x100:])
	s.FirstMetaBG = le.Uint32(p[0x104:])
	s.MkfsTime = superTime(p, 0x108, 0x276)
	for i := range s.JournalBackup {
		s.JournalBackup[i] = le.Uint32(p[0x10c+4*i:])
	}
	if s.Features.HasIncompat(Incompat64Bit) {
		s.Blocks |= uint64(le.Uint32(p[0x150:])) << 32
		s.ReservedBlocks |= uint64(le.Uint32(p[0x154:])) << 32
		s.FreeBlocks |= uint64(le.Uint32(p[0x158:])) << 32
	}
	s.MinExtraSize = le.Uint16(p[0x15c:])
	s.WantExtraSize = le.Uint16(p[0x15e:])
	s.Flags = le.Uint32(p[0x160:])
	s.RaidStride = le.Uint16(p[0x164:])
	s.RaidStripeWidth = le.Uint32(p[0x170:])
	s.LogGroupsPerFlex = p[0x174]
	s.ChecksumType = p[0x175]
	s.KBytesWritten = le.Uint64(p[0x178:])
	s.ErrorCount = le.Uint32(p[0x194:])
	s.UserQuotaInode = le.Uint32(p[0x240:])
	s.GroupQuotaInode = le.Uint32(p[0x244:])
	s.OverheadClusters = le.Uint32(p[0x248:])
	s.BackupGroups = [2]uint32{le.Uint32(p[0x24c:]), le.Uint32(p[0x250:])}
	s.LostFoundInode = le.Uint32(p[0x268:])
	s.ProjectQuotaInode = le.Uint32(p[0x26c:])
	s.ChecksumSeed = le.Uint32(p[0x270:])
	s.Encoding = le.Uint16(p[0x27c:])
	s.EncodingFlags = le.Uint16(p[0x27e:])
	s.OrphanFileInode = le.Uint32(p[0x280:])
}

// superTime reads a time of 40 bits in two places.
func superTime(p []byte, low, high int) int64 {
	return int64(binary.LittleEndian.Uint32(p[low:])) | int64(p[high])<<32
}

// cString cuts b at its first zero byte.
func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// validate checks what the kernel checks when it mounts (ext4_fill_super), as
// far as computing positions depends on it.
func (s *Superblock) validate() error {
	if s.LogBlockSize > maxLogBlock {
		return fmt.Errorf("superblock has a block size of 1024 << %d; the largest is 64 KiB", s.LogBlockSize)
	}
	blockSize := uint64(s.BlockSize())
	bitmap := 8 * blockSize
	wantFirst := uint32(0)
	if s.LogBlockSize == 0 {
		wantFirst = 1
	}
	clusterShift := uint32(0)
	if s.Features.HasROCompat(ROCompatBigAlloc) {
		if s.LogClusterSize < s.LogBlockSize || s.LogClusterSize > 20 {
			return fmt.Errorf("superblock has clusters of 1024 << %d bytes in blocks of %d", s.LogClusterSize, blockSize)
		}
		if s.LogClusterSize > s.LogBlockSize {
			wantFirst = 0
		}
		clusterShift = s.LogClusterSize - s.LogBlockSize
	}
	switch {
	case s.FirstDataBlock != wantFirst:
		return fmt.Errorf("superblock has first data block %d instead of %d", s.FirstDataBlock, wantFirst)
	case s.InodeSize < OldInodeSize || uint64(s.InodeSize) > blockSize || bits.OnesCount16(s.InodeSize) != 1:
		return fmt.Errorf("superblock has inodes of %d bytes in blocks of %d", s.InodeSize, blockSize)
	case s.BlocksPerGroup == 0 || uint64(s.BlocksPerGroup) > bitmap<<clusterShift:
		return fmt.Errorf("superblock has %d blocks per group; a bitmap has %d bits", s.BlocksPerGroup, bitmap)
	case s.InodesPerGroup == 0 || s.InodesPerGroup%8 != 0 || uint64(s.InodesPerGroup) > bitmap:
		return fmt.Errorf("superblock has %d inodes per group; a bitmap has %d bits", s.InodesPerGroup, bitmap)
	case s.Blocks <= uint64(s.FirstDataBlock) || s.Blocks > 1<<48:
		return fmt.Errorf("superblock counts %d blocks", s.Blocks)
	case s.ReservedBlocks > s.Blocks || s.FreeBlocks > s.Blocks:
		return fmt.Errorf("superblock reserves %d blocks and has %d free, of %d", s.ReservedBlocks, s.FreeBlocks, s.Blocks)
	case s.Groups()*uint64(s.InodesPerGroup) != uint64(s.Inodes):
		return fmt.Errorf("superblock counts %d inodes, but has %d groups of %d", s.Inodes, s.Groups(), s.InodesPerGroup)
	case s.FreeInodes > s.Inodes:
		return fmt.Errorf("superblock has %d inodes free, of %d", s.FreeInodes, s.Inodes)
	case s.FirstInode < InoFirst:
		return fmt.Errorf("superblock reserves %d inodes; the first 10 have a meaning", int64(s.FirstInode)-1)
	case uint64(s.ReservedGDT) > blockSize/4:
		return fmt.Errorf("superblock reserves %d blocks for descriptors; an inode maps %d", s.ReservedGDT, blockSize/4)
	case s.Features.HasIncompat(Incompat64Bit) &&
		(s.DescSize < DescSize64 || s.DescSize > 1024 || bits.OnesCount16(s.DescSize) != 1):
		return fmt.Errorf("superblock has group descriptors of %d bytes", s.DescSize)
	}
	return nil
}

// BlockSize returns the block size in bytes.
func (s *Superblock) BlockSize() int { return 1024 << s.LogBlockSize }

// Groups returns the number of groups.
func (s *Superblock) Groups() uint64 {
	perGroup := uint64(s.BlocksPerGroup)
	return (s.Blocks - uint64(s.FirstDataBlock) + perGroup - 1) / perGroup
}

// GroupDescSize returns the size of a group descriptor.
func (s *Superblock) GroupDescSize() int {
	if s.Features.HasIncompat(Incompat64Bit) {
		return int(s.DescSize)
	}
	return DescSize32
}

// Seed returns the seed of the file system's metadata checksums.
func (s *Superblock) Seed() uint32 {
	if s.Features.HasIncompat(IncompatCsumSeed) {
		return s.ChecksumSeed
	}
	return SeedOfUUID(s.UUID)
}

// DirHashVersion returns the version by which names are hashed where a tree's
// root names version, with the signedness of this file system.
func (s *Superblock) DirHashVersion(version HashVersion) HashVersion {
	if s.Flags&SuperUnsignedHash != 0 {
		return version.Unsigned()
	}
	return version
}

// CheckSuperblock reports whether the checksum of the encoded superblock p is
// right, or not needed.
func CheckSuperblock(p []byte) bool {
	le := binary.LittleEndian
	return len(p) >= SuperblockSize &&
		(le.Uint32(p[0x064:])&ROCompatMetadataCsum == 0 ||
			p[0x175] == ChecksumCRC32C && le.Uint32(p[superChecksum:]) == Checksum(NoSeed, p[:superChecksum]))
}
