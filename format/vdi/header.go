package vdi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"diskwright/format/block"
)

var le = binary.LittleEndian

const (
	// creator is for people: no program reads it.
	creator = "<<< Diskwright Virtual Disk Image >>>\n"

	signature  = 0xbeda107f
	version11  = 0x0001_0001 // major in the upper half
	headerSize = 0x180       // VDIHEADER1, without the LCHS geometry that VirtualBox appends when it has one
	headerEnd  = 512

	typeDynamic = 1 // VDI_IMAGE_TYPE_NORMAL
	typeStatic  = 2 // VDI_IMAGE_TYPE_FIXED
	typeUndo    = 3
	typeDiff    = 4

	entrySize = 4
	entryFree = 0xffff_ffff // VDI_IMAGE_BLOCK_FREE
	entryZero = 0xffff_fffe // VDI_IMAGE_BLOCK_ZERO
)

// header is VDIPREHEADER and VDIHEADER1.
type header struct {
	creator         string
	imageType       uint32
	flags           uint32
	comment         string
	blockMap, data  int64 // offsets in the file
	sectorSize      uint32
	diskSize        int64
	blockSize       int64
	blockExtra      uint32 // bytes in front of each block
	blocks          int64
	blocksAllocated int64

	image, snapshot, link, parent uuid.UUID
}

// encode returns the first 512 bytes of the file.
func (h *header) encode() []byte {
	p := make([]byte, headerEnd)
	copy(p[0:64], creator)
	le.PutUint32(p[64:], signature)
	le.PutUint32(p[68:], version11)

	le.PutUint32(p[72:], headerSize) // cbHeader
	le.PutUint32(p[76:], h.imageType)
	le.PutUint32(p[80:], h.flags)
	copy(p[84:340], h.comment)
	le.PutUint32(p[340:], uint32(h.blockMap)) // offBlocks
	le.PutUint32(p[344:], uint32(h.data))     // offData
	// LegacyGeometry: cylinders, heads and sectors are zero, which has
	// VirtualBox guess them from the partition table.
	le.PutUint32(p[360:], sectorSize) // cbSector; qemu refuses any other
	// 364: u32Dummy
	le.PutUint64(p[368:], uint64(h.diskSize))
	le.PutUint32(p[376:], uint32(h.blockSize))
	le.PutUint32(p[380:], h.blockExtra)
	le.PutUint32(p[384:], uint32(h.blocks))
	le.PutUint32(p[388:], uint32(h.blocksAllocated))
	putUUID(p[392:], h.image)    // uuidCreate
	putUUID(p[408:], h.snapshot) // uuidModify
	putUUID(p[424:], h.link)     // uuidLinkage: of the parent
	putUUID(p[440:], h.parent)   // uuidParentModify
	return p
}

// decodeHeader reads what encode writes, and what other programs do.
func decodeHeader(p []byte) (*header, error) {
	if le.Uint32(p[64:]) != signature {
		return nil, errors.New("not an image of VirtualBox: the signature is wrong")
	}
	if v := le.Uint32(p[68:]); v != version11 {
		return nil, fmt.Errorf("version %d.%d; only 1.1 can be read", v>>16, v&0xffff)
	}
	if n := le.Uint32(p[72:]); n < headerSize {
		return nil, fmt.Errorf("its header has %d bytes, less than %d", n, headerSize)
	}
	diskSize := le.Uint64(p[368:])
	if diskSize > MaxSize {
		return nil, fmt.Errorf("a disk of %d bytes is more than the %d that can be read", diskSize, int64(MaxSize))
	}
	return &header{
		creator:         text(p[0:64]),
		imageType:       le.Uint32(p[76:]),
		flags:           le.Uint32(p[80:]),
		comment:         text(p[84:340]),
		blockMap:        int64(le.Uint32(p[340:])),
		data:            int64(le.Uint32(p[344:])),
		sectorSize:      le.Uint32(p[360:]),
		diskSize:        int64(diskSize),
		blockSize:       int64(le.Uint32(p[376:])),
		blockExtra:      le.Uint32(p[380:]),
		blocks:          int64(le.Uint32(p[384:])),
		blocksAllocated: int64(le.Uint32(p[388:])),
		image:           getUUID(p[392:]),
		snapshot:        getUUID(p[408:]),
		link:            getUUID(p[424:]),
		parent:          getUUID(p[440:]),
	}, nil
}

// check refuses what cannot be read.
func (h *header) check() error {
	switch h.imageType {
	case typeDynamic, typeStatic:
	case typeUndo, typeDiff:
		return errors.New("it is a differencing image, which has only what differs from a parent; \"VBoxManage clonemedium\" makes an image without one")
	default:
		return fmt.Errorf("unknown image type %d", h.imageType)
	}
	if h.link != uuid.Nil {
		return fmt.Errorf("it has a parent, %s; \"VBoxManage clonemedium\" makes an image without one", h.link)
	}
	if h.sectorSize != sectorSize {
		return fmt.Errorf("sectors of %d bytes; only %d can be read", h.sectorSize, sectorSize)
	}
	if h.blockSize < 4<<10 || h.blockSize > 256<<20 || h.blockSize&(h.blockSize-1) != 0 {
		return fmt.Errorf("blocks of %d bytes; that must be a power of two from 4 KiB to 256 MiB", h.blockSize)
	}
	if h.blockExtra != 0 {
		return fmt.Errorf("%d bytes in front of each block; only images without can be read", h.blockExtra)
	}
	if need := block.DivideUp(h.diskSize, h.blockSize); h.blocks < need || need > maxBlocks {
		return fmt.Errorf("a disk of %d bytes in %d blocks of %d bytes", h.diskSize, h.blocks, h.blockSize)
	}
	if h.blockMap < 72+headerSize {
		return fmt.Errorf("the block map lies at %d, in the header", h.blockMap)
	}
	return nil
}

func text(p []byte) string {
	p, _, _ = bytes.Cut(p, []byte{0})
	return string(p)
}

// putUUID writes the first three fields little-endian, as a RTUUID is in
// memory.
func putUUID(p []byte, id uuid.UUID) {
	le.PutUint32(p[0:], binary.BigEndian.Uint32(id[0:]))
	le.PutUint16(p[4:], binary.BigEndian.Uint16(id[4:]))
	le.PutUint16(p[6:], binary.BigEndian.Uint16(id[6:]))
	copy(p[8:16], id[8:])
}

func getUUID(p []byte) (id uuid.UUID) {
	binary.BigEndian.PutUint32(id[0:], le.Uint32(p[0:]))
	binary.BigEndian.PutUint16(id[4:], le.Uint16(p[4:]))
	binary.BigEndian.PutUint16(id[6:], le.Uint16(p[6:]))
	copy(id[8:], p[8:16])
	return id
}
