package ondisk

import (
	"encoding/binary"
	"fmt"
)

// Sizes of an inode on disk: that of ext2's first revision, and what mke2fs
// makes since 2008.
const (
	OldInodeSize = 128
	InodeSize    = 256

	// ExtraInodeSize is how much of an inode behind the first 128 bytes has
	// a meaning: i_extra_isize as mke2fs and the kernel set it. What follows
	// belongs to extended attributes.
	ExtraInodeSize = 32
)

// Numbers of the inodes that have a meaning ("Special inodes").
const (
	InoBadBlocks = 1
	InoRoot      = 2
	InoResize    = 7
	InoJournal   = 8
	InoFirst     = 11 // the first that is not reserved; lost+found has it
)

// Inode flags ("i_flags").
const (
	FlagSync      uint32 = 0x00000008
	FlagImmutable uint32 = 0x00000010
	FlagAppend    uint32 = 0x00000020
	FlagEncrypt   uint32 = 0x00000800
	FlagIndex     uint32 = 0x00001000 // directory with a hash tree
	FlagHugeFile  uint32 = 0x00040000 // i_blocks counts file system blocks
	FlagExtents   uint32 = 0x00080000
	FlagEAInode   uint32 = 0x00200000
	FlagInline    uint32 = 0x10000000
	FlagCaseFold  uint32 = 0x40000000
)

// File types in the upper bits of i_mode ("i_mode").
const (
	ModeTypeMask uint16 = 0xf000
	ModeFIFO     uint16 = 0x1000
	ModeChar     uint16 = 0x2000
	ModeDir      uint16 = 0x4000
	ModeBlock    uint16 = 0x6000
	ModeRegular  uint16 = 0x8000
	ModeSymlink  uint16 = 0xa000
	ModeSocket   uint16 = 0xc000
)

// Inode is a decoded inode: "Index Nodes" of the kernel's documentation.
type Inode struct {
	Mode       uint16
	UID, GID   uint32
	Links      uint16
	Size       uint64
	Blocks     uint64 // in 512 bytes, or in file system blocks with FlagHugeFile
	Flags      uint32
	Block      [60]byte // i_block: extent tree, block map, fast symlink, device
	Generation uint32
	FileACL    uint64 // block of extended attributes, or 0
	Version    uint64
	ProjectID  uint32

	Atime, Ctime, Mtime Time
	Crtime              Time   // only if ExtraSize reaches it
	Dtime               uint32 // of deletion; 0 if in use

	// ExtraSize is i_extra_isize: 0 in inodes of 128 bytes.
	ExtraSize uint16
	// Checksum is as read (both halves, or the lower one only). Encode
	// ignores it: see SetInodeChecksum.
	Checksum uint32
}

// Encode writes the inode to p, which is an inode's whole slot (128 or 256
// bytes or more) and is cleared first. ExtraSize is 0 in a slot of 128 bytes,
// else at least 4 and at most len(p)-128. Times beyond the range of the encoding
// are clamped to it: see [Time.Clamp].
func (i *Inode) Encode(p []byte) {
	le := binary.LittleEndian
	clear(p)
	le.PutUint16(p[0x00:], i.Mode)
	le.PutUint16(p[0x02:], uint16(i.UID))
	le.PutUint32(p[0x04:], uint32(i.Size))
	le.PutUint16(p[0x18:], uint16(i.GID))
	le.PutUint16(p[0x1a:], i.Links)
	le.PutUint32(p[0x1c:], uint32(i.Blocks))
	le.PutUint32(p[0x20:], i.Flags)
	le.PutUint32(p[0x24:], uint32(i.Version))
	copy(p[0x28:0x64], i.Block[:])
	le.PutUint32(p[0x64:], i.Generation)
	le.PutUint32(p[0x68:], uint32(i.FileACL))
	le.PutUint32(p[0x6c:], uint32(i.Size>>32))
	le.PutUint16(p[0x74:], uint16(i.Blocks>>32))
	le.PutUint16(p[0x76:], uint16(i.FileACL>>32))
	le.PutUint16(p[0x78:], uint16(i.UID>>16))
	le.PutUint16(p[0x7a:], uint16(i.GID>>16))
	le.PutUint32(p[0x14:], i.Dtime)

	extra := func(at int) bool { return len(p) > OldInodeSize && at+4 <= OldInodeSize+int(i.ExtraSize) }
	putTime := func(t Time, at, extraAt int) {
		sec, ext := t.encode(extra(extraAt))
		le.PutUint32(p[at:], sec)
		if extra(extraAt) {
			le.PutUint32(p[extraAt:], ext)
		}
	}
	if len(p) > OldInodeSize {
		le.PutUint16(p[0x80:], i.ExtraSize)
	}
	putTime(i.Atime, 0x08, 0x8c)
	putTime(i.Ctime, 0x0c, 0x84)
	putTime(i.Mtime, 0x10, 0x88)
	if extra(0x90) {
		putTime(i.Crtime, 0x90, 0x94)
	}
	if extra(0x98) {
		le.PutUint32(p[0x98:], uint32(i.Version>>32))
	}
	if extra(0x9c) {
		le.PutUint32(p[0x9c:], i.ProjectID)
	}
}

// Offsets of the halves of an inode's checksum: l_i_checksum_lo and
// i_checksum_hi.
const (
	inodeChecksumLo = 0x7c
	inodeChecksumHi = 0x82
)

// hasChecksumHi reports whether the extra part of slot p reaches
// i_checksum_hi.
func hasChecksumHi(p []byte) bool {
	return len(p) > OldInodeSize && binary.LittleEndian.Uint16(p[0x80:]) >= 4
}

// InodeChecksum is the checksum of the encoded inode in p ("Checksums"): over
// the whole slot, the checksum's own fields read as zero. seed is InodeSeed's.
// Where there is no i_checksum_hi only the lower 16 bits are stored.
func InodeChecksum(p []byte, seed uint32) uint32 {
	c := Checksum(seed, p[:inodeChecksumLo])
	c = checksumZeros(c, 2)
	c = Checksum(c, p[inodeChecksumLo+2:OldInodeSize])
	if len(p) > OldInodeSize {
		c = Checksum(c, p[OldInodeSize:inodeChecksumHi])
		rest := p[inodeChecksumHi:]
		if hasChecksumHi(p) {
			c = checksumZeros(c, 2)
			rest = rest[2:]
		}
		c = Checksum(c, rest)
	}
	return c
}

// SetInodeChecksum puts the checksum into the encoded inode in p, after
// everything else of the slot, in-inode attributes too, is in place.
func SetInodeChecksum(p []byte, fsSeed, ino uint32) {
	le := binary.LittleEndian
	c := InodeChecksum(p, InodeSeed(fsSeed, ino, le.Uint32(p[0x64:])))
	le.PutUint16(p[inodeChecksumLo:], uint16(c))
	if hasChecksumHi(p) {
		le.PutUint16(p[inodeChecksumHi:], uint16(c>>16))
	}
}

// CheckInode reports whether the checksum of the encoded inode in p is right.
func CheckInode(p []byte, fsSeed, ino uint32) bool {
	le := binary.LittleEndian
	c := InodeChecksum(p, InodeSeed(fsSeed, ino, le.Uint32(p[0x64:])))
	if uint16(c) != le.Uint16(p[inodeChecksumLo:]) {
		return false
	}
	return !hasChecksumHi(p) || uint16(c>>16) == le.Uint16(p[inodeChecksumHi:])
}

// DecodeInode reads the inode in p, a whole slot: 128 bytes, or 256 or more.
func DecodeInode(p []byte) (Inode, error) {
	le := binary.LittleEndian
	if len(p) != OldInodeSize && len(p) < InodeSize {
		return Inode{}, fmt.Errorf("inode of %d bytes; it has %d, or at least %d", len(p), OldInodeSize, InodeSize)
	}
	i := Inode{
		Mode:       le.Uint16(p[0x00:]),
		UID:        uint32(le.Uint16(p[0x02:])) | uint32(le.Uint16(p[0x78:]))<<16,
		GID:        uint32(le.Uint16(p[0x18:])) | uint32(le.Uint16(p[0x7a:]))<<16,
		Links:      le.Uint16(p[0x1a:]),
		Size:       uint64(le.Uint32(p[0x04:])) | uint64(le.Uint32(p[0x6c:]))<<32,
		Blocks:     uint64(le.Uint32(p[0x1c:])) | uint64(le.Uint16(p[0x74:]))<<32,
		Flags:      le.Uint32(p[0x20:]),
		Generation: le.Uint32(p[0x64:]),
		FileACL:    uint64(le.Uint32(p[0x68:])) | uint64(le.Uint16(p[0x76:]))<<32,
		Version:    uint64(le.Uint32(p[0x24:])),
		Dtime:      le.Uint32(p[0x14:]),
		Checksum:   uint32(le.Uint16(p[inodeChecksumLo:])),
	}
	copy(i.Block[:], p[0x28:0x64])
	if len(p) > OldInodeSize {
		i.ExtraSize = le.Uint16(p[0x80:])
		if int(i.ExtraSize) > len(p)-OldInodeSize || i.ExtraSize%4 != 0 {
			return Inode{}, fmt.Errorf("i_extra_isize %d does not fit an inode of %d bytes", i.ExtraSize, len(p))
		}
	}
	extra := func(at int) uint32 {
		if at+4 > OldInodeSize+int(i.ExtraSize) {
			return 0
		}
		return le.Uint32(p[at:])
	}
	i.Atime = decodeTime(le.Uint32(p[0x08:]), extra(0x8c))
	i.Ctime = decodeTime(le.Uint32(p[0x0c:]), extra(0x84))
	i.Mtime = decodeTime(le.Uint32(p[0x10:]), extra(0x88))
	i.Crtime = decodeTime(extra(0x90), extra(0x94))
	i.Version |= uint64(extra(0x98)) << 32
	i.ProjectID = extra(0x9c)
	if hasChecksumHi(p) {
		i.Checksum |= uint32(le.Uint16(p[inodeChecksumHi:])) << 16
	}
	return i, nil
}
