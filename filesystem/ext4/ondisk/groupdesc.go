package ondisk

import "encoding/binary"

// Sizes of a group descriptor: without the feature 64bit, and with it as mke2fs
// makes it.
const (
	DescSize32 = 32
	DescSize64 = 64
)

// Flags of a group ("Block group flags"): its inode or block bitmap is not
// written and stands for an empty group; its inode table is zeroed.
const (
	GroupInodeUninit uint16 = 1 << iota
	GroupBlockUninit
	GroupTableZeroed
)

// GroupDesc is a decoded group descriptor ("Block Group Descriptors"). The
// upper halves of its fields are in descriptors of 64 bytes only.
type GroupDesc struct {
	BlockBitmap, InodeBitmap, InodeTable uint64 // block numbers
	FreeBlocks, FreeInodes, UsedDirs     uint32
	Flags                                uint16
	ExcludeBitmap                        uint64 // of snapshots; 0
	BlockBitmapChecksum                  uint32
	InodeBitmapChecksum                  uint32
	UnusedInodes                         uint32 // at the table's end, never initialised
	Checksum                             uint16 // as read; see SetGroupDescChecksum
}

const groupDescChecksum = 0x1e // offset of bg_checksum

// Encode writes the descriptor, without its checksum, to p of 32 or 64 bytes.
func (d *GroupDesc) Encode(p []byte) {
	le := binary.LittleEndian
	clear(p)
	le.PutUint32(p[0x00:], uint32(d.BlockBitmap))
	le.PutUint32(p[0x04:], uint32(d.InodeBitmap))
	le.PutUint32(p[0x08:], uint32(d.InodeTable))
	le.PutUint16(p[0x0c:], uint16(d.FreeBlocks))
	le.PutUint16(p[0x0e:], uint16(d.FreeInodes))
	le.PutUint16(p[0x10:], uint16(d.UsedDirs))
	le.PutUint16(p[0x12:], d.Flags)
	le.PutUint32(p[0x14:], uint32(d.ExcludeBitmap))
	le.PutUint16(p[0x18:], uint16(d.BlockBitmapChecksum))
	le.PutUint16(p[0x1a:], uint16(d.InodeBitmapChecksum))
	le.PutUint16(p[0x1c:], uint16(d.UnusedInodes))
	if len(p) < DescSize64 {
		return
	}
	le.PutUint32(p[0x20:], uint32(d.BlockBitmap>>32))
	le.PutUint32(p[0x24:], uint32(d.InodeBitmap>>32))
	le.PutUint32(p[0x28:], uint32(d.InodeTable>>32))
	le.PutUint16(p[0x2c:], uint16(d.FreeBlocks>>16))
	le.PutUint16(p[0x2e:], uint16(d.FreeInodes>>16))
	le.PutUint16(p[0x30:], uint16(d.UsedDirs>>16))
	le.PutUint16(p[0x32:], uint16(d.UnusedInodes>>16))
	le.PutUint32(p[0x34:], uint32(d.ExcludeBitmap>>32))
	le.PutUint16(p[0x38:], uint16(d.BlockBitmapChecksum>>16))
	le.PutUint16(p[0x3a:], uint16(d.InodeBitmapChecksum>>16))
}

// DecodeGroupDesc reads the descriptor in p: 32 bytes, or 64 or more with the
// feature 64bit. Shorter slices give a descriptor of zeros.
func DecodeGroupDesc(p []byte) GroupDesc {
	le := binary.LittleEndian
	if len(p) < DescSize32 {
		return GroupDesc{}
	}
	d := GroupDesc{
		BlockBitmap:         uint64(le.Uint32(p[0x00:])),
		InodeBitmap:         uint64(le.Uint32(p[0x04:])),
		InodeTable:          uint64(le.Uint32(p[0x08:])),
		FreeBlocks:          uint32(le.Uint16(p[0x0c:])),
		FreeInodes:          uint32(le.Uint16(p[0x0e:])),
		UsedDirs:            uint32(le.Uint16(p[0x10:])),
		Flags:               le.Uint16(p[0x12:]),
		ExcludeBitmap:       uint64(le.Uint32(p[0x14:])),
		BlockBitmapChecksum: uint32(le.Uint16(p[0x18:])),
		InodeBitmapChecksum: uint32(le.Uint16(p[0x1a:])),
		UnusedInodes:        uint32(le.Uint16(p[0x1c:])),
		Checksum:            le.Uint16(p[groupDescChecksum:]),
	}
	if len(p) < DescSize64 {
		return d
	}
	d.BlockBitmap |= uint64(le.Uint32(p[0x20:])) << 32
	d.InodeBitmap |= uint64(le.Uint32(p[0x24:])) << 32
	d.InodeTable |= uint64(le.Uint32(p[0x28:])) << 32
	d.FreeBlocks |= uint32(le.Uint16(p[0x2c:])) << 16
	d.FreeInodes |= uint32(le.Uint16(p[0x2e:])) << 16
	d.UsedDirs |= uint32(le.Uint16(p[0x30:])) << 16
	d.UnusedInodes |= uint32(le.Uint16(p[0x32:])) << 16
	d.ExcludeBitmap |= uint64(le.Uint32(p[0x34:])) << 32
	d.BlockBitmapChecksum |= uint32(le.Uint16(p[0x38:])) << 16
	d.InodeBitmapChecksum |= uint32(le.Uint16(p[0x3a:])) << 16
	return d
}

// GroupDescChecksum is the checksum of the encoded descriptor of a group with
// metadata_csum: the lower half of a CRC-32C.
func GroupDescChecksum(p []byte, group, fsSeed uint32) uint16 {
	c := checksum32(fsSeed, group)
	c = Checksum(c, p[:groupDescChecksum])
	c = checksumZeros(c, 2)
	c = Checksum(c, p[groupDescChecksum+2:])
	return uint16(c)
}

// SetGroupDescChecksum puts the checksum into an encoded descriptor.
func SetGroupDescChecksum(p []byte, group, fsSeed uint32) {
	binary.LittleEndian.PutUint16(p[groupDescChecksum:], GroupDescChecksum(p, group, fsSeed))
}
