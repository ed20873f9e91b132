package ondisk

import (
	"errors"
	"fmt"
)

// BlockPointerSize is the size of a block pointer (blkptr_t).
const BlockPointerSize = 128

// A BlockPointer says where a block lies and what it is. The zero value is a hole,
// which reads as zeros.
//
//	word 0, 1 first address: allocated size (24 bits, sectors), grid, device (24 bits) | offset (63 bits, sectors), gang
//	word 2..5 two further addresses
//	word 6    logical size - 1, physical size - 1 (16 bits each, sectors), compression (7), embedded (1),
//	          checksum (8), type (8), level (5), encrypted, deduplicated, little endian (1 each)
//	word 7, 8 nothing
//	word 9    physical birth (of the bytes, where they are older than the block), 0 where it is the logical one
//	word 10   logical birth (transaction group)
//	word 11   fill: blocks below that are not holes, or dnodes in use
//	word 12.. checksum
type BlockPointer struct {
	// Addresses are one to three copies of the block.
	Addresses [3]Address

	LogicalSize, PhysicalSize int // bytes, multiples of 512
	Compression               Compression
	ChecksumKind              ChecksumKind
	Type                      Type
	Level                     uint8 // 0 is data
	Birth, Fill               uint64
	PhysicalBirth             uint64 // 0 is Birth
	Checksum                  Checksum

	// Shared says that other blocks may have the same addresses: the block was
	// deduplicated.
	Shared bool

	// Embedded is the block itself, PhysicalSize bytes of it, in place of
	// addresses and checksum; sizes are any then. It is nil otherwise.
	Embedded []byte
}

// Address is where a copy of a block lies (dva_t). Offset 0 of a device is behind
// its labels, at [DataOffset]. The zero value is none.
type Address struct {
	Device uint32
	Offset int64 // bytes
	Size   int   // allocated, bytes

	// Gang says that there is no block, but a gang header that leads to its
	// pieces: see [DecodeGang]. Size is that of header and pieces.
	Gang bool
}

// MaxEmbedded is how many bytes a block pointer can hold (BPE_PAYLOAD_SIZE).
const MaxEmbedded = 112

const (
	bpEmbedded     = 1 << 39
	bpEncrypted    = 1 << 61
	bpShared       = 1 << 62
	bpLittleEndian = 1 << 63
	bpGang         = 1 << 63 // of an address

	// Of an embedded block: its type, which is that of plain data, and sizes
	// in bytes.
	bpEmbeddedLogical  = 25
	bpEmbeddedPhysical = 7
	embeddedData       = 0
)

// payloadWords are the words of a block pointer that hold an embedded block: all
// but properties and birth.
var payloadWords = [...]int{0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 15}

// IsHole reports whether there is no block.
func (b *BlockPointer) IsHole() bool { return b.Addresses[0] == Address{} && b.Embedded == nil }

// AllocatedSize returns how many bytes of the pool the block takes, all copies
// together.
func (b *BlockPointer) AllocatedSize() int64 {
	var n int64
	for _, a := range b.Addresses {
		n += int64(a.Size)
	}
	return n
}

// Encode writes the block pointer to p.
func (b *BlockPointer) Encode(p []byte) {
	clear(p[:BlockPointerSize])
	if b.IsHole() {
		return
	}
	le.PutUint64(p[10*8:], b.Birth)
	properties := uint64(b.Compression)<<32 | uint64(b.Type)<<48 | uint64(b.Level)<<56 | bpLittleEndian
	if b.Embedded != nil {
		properties |= bpEmbedded | uint64(b.LogicalSize-1) | uint64(b.PhysicalSize-1)<<bpEmbeddedLogical
		le.PutUint64(p[6*8:], properties)
		payload := b.Embedded
		for _, w := range payloadWords {
			payload = payload[copy(p[8*w:8*w+8], payload):]
		}
		return
	}
	for i, a := range b.Addresses {
		le.PutUint64(p[16*i:], uint64(a.Size/SectorSize)|uint64(a.Device)<<32)
		word := uint64(a.Offset / SectorSize)
		if a.Gang {
			word |= bpGang
		}
		le.PutUint64(p[16*i+8:], word)
	}
	if b.Shared {
		properties |= bpShared
	}
	properties |= uint64(b.LogicalSize/SectorSize-1) | uint64(b.PhysicalSize/SectorSize-1)<<16 | uint64(b.ChecksumKind)<<40
	le.PutUint64(p[6*8:], properties)
	le.PutUint64(p[9*8:], b.PhysicalBirth)
	le.PutUint64(p[11*8:], b.Fill)
	b.Checksum.encode(p[12*8:])
}

// DecodeBlockPointer decodes a block pointer. Big endian and encrypted blocks are
// errors.
func DecodeBlockPointer(p []byte) (BlockPointer, error) {
	if len(p) < BlockPointerSize {
		return BlockPointer{}, errors.New("a block pointer is cut short")
	}
	word := func(i int) uint64 { return le.Uint64(p[8*i:]) }
	properties := word(6)
	b := BlockPointer{
		Compression: Compression(properties >> 32 & 0x7f),
		Type:        Type(properties >> 48),
		Level:       uint8(properties >> 56 & 0x1f),
		Birth:       word(10),
	}
	if properties&bpEmbedded == 0 && word(0) == 0 && word(1) == 0 {
		return BlockPointer{}, nil
	}
	if properties&bpLittleEndian == 0 || properties&bpEncrypted != 0 {
		return BlockPointer{}, fmt.Errorf("a block pointer that is big endian or encrypted (properties %#x)", properties)
	}
	if properties&bpEmbedded != 0 {
		return b.decodeEmbedded(p, properties)
	}
	for i := range b.Addresses {
		b.Addresses[i] = Address{
			Device: uint32(word(2*i) >> 32 & 0xffffff),
			Offset: int64(word(2*i+1)&(1<<54-1)) * SectorSize,
			Size:   int(word(2*i)&0xffffff) * SectorSize,
			Gang:   word(2*i+1)&bpGang != 0,
		}
	}
	b.LogicalSize = (int(properties&0xffff) + 1) * SectorSize
	b.PhysicalSize = (int(properties>>16&0xffff) + 1) * SectorSize
	b.ChecksumKind = ChecksumKind(properties >> 40)
	b.Shared = properties&bpShared != 0
	b.PhysicalBirth, b.Fill = word(9), word(11)
	b.Checksum = decodeChecksum(p[12*8:])
	return b, nil
}

func (b BlockPointer) decodeEmbedded(p []byte, properties uint64) (BlockPointer, error) {
	b.LogicalSize = int(properties&(1<<bpEmbeddedLogical-1)) + 1
	b.PhysicalSize = int(properties>>bpEmbeddedLogical&(1<<bpEmbeddedPhysical-1)) + 1
	if kind := uint8(properties >> 40); kind != embeddedData {
		return BlockPointer{}, fmt.Errorf("a block pointer with an embedded block of kind %d, which is not data", kind)
	}
	if b.PhysicalSize > MaxEmbedded {
		return BlockPointer{}, fmt.Errorf("a block pointer with an embedded block of %d bytes, more than %d", b.PhysicalSize, MaxEmbedded)
	}
	payload := make([]byte, 0, MaxEmbedded)
	for _, w := range payloadWords {
		payload = append(payload, p[8*w:8*w+8]...)
	}
	b.Embedded = payload[:b.PhysicalSize]
	b.Fill = 1
	return b, nil
}
