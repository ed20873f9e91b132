package grub

import (
	"encoding/binary"
	"fmt"
)

const sectorSize = 512

// The boot sector, boot.img (GRUB's grub-core/boot/i386/pc/boot.S has the
// layout; these are its offsets in the file). Bytes that GRUB leaves as they
// are on the disk: the BIOS parameter block, in case sector 0 is that of a FAT,
// and everything from the disk signature on.
const (
	bootBPB          = 0x03 // kept, up to bootBPBEnd
	bootBPBEnd       = 0x5a
	bootKernelSector = 0x5c // u64, the core image's first sector
	bootDrive        = 0x64 // u8, 0xff: the one that the BIOS says
	bootDriveCheck   = 0x66 // u16, a jump over the check of the drive that the BIOS says
	bootCodeEnd      = 0x1b8

	driveOfBIOS = 0xff
	nop         = 0x90
)

// The core image: diskboot.img, which loads the rest by the block list at its
// end, and then lzma_decompress.img, which repairs the rest if it has to.
const (
	blockList        = sectorSize - 12 // u64 start, u16 length, u16 segment
	blockListLength  = blockList + 8
	blockListSegment = blockList + 10

	// coreSegment is where the rest is loaded: the sector behind the first,
	// which the boot sector loads at 0x8000.
	coreSegment = 0x820

	coreRedundancy   = sectorSize + 0x10 // u32, bytes
	coreUnprotected  = sectorSize + 0x14 // u16, bytes of the second sector on that have none: they are the decoder
	maxCoreSectors   = (coreMemoryEnd - coreMemoryStart) / sectorSize
	coreMemoryStart  = 0x9000
	coreMemoryEnd    = 0x78000
	smallestCoreSize = 2 * sectorSize
)

// bootCode returns what the boot loader has in sector 0 of a hard disk: 440
// bytes, of which old keeps those that a BIOS parameter block may have. core is
// the sector that the core image begins at.
func bootCode(bootImage, old []byte, core int64) ([]byte, error) {
	if err := checkBootImage(bootImage); err != nil {
		return nil, err
	}
	code := make([]byte, bootCodeEnd)
	copy(code, bootImage)
	clear(code[bootBPB:bootBPBEnd])
	if len(old) > bootBPB {
		copy(code[bootBPB:bootBPBEnd], old[bootBPB:])
	}
	binary.LittleEndian.PutUint64(code[bootKernelSector:], uint64(core))
	code[bootDrive] = driveOfBIOS
	// On a hard disk the check is wanted: there are BIOSes that name the wrong
	// drive.
	code[bootDriveCheck], code[bootDriveCheck+1] = nop, nop
	return code, nil
}

// checkBootImage refuses what is not the boot sector that the offsets above are
// of. Its instructions begin with a jump over the parameter block.
func checkBootImage(b []byte) error {
	if len(b) != sectorSize || b[sectorSize-2] != 0x55 || b[sectorSize-1] != 0xaa {
		return fmt.Errorf("boot.img: %d bytes are not a boot sector of %d that ends in 55 aa", len(b), sectorSize)
	}
	if b[0] != 0xeb || binary.LittleEndian.Uint64(b[bootKernelSector:]) != 1 || b[bootDrive] != driveOfBIOS || b[bootDriveCheck] != 0xeb {
		return fmt.Errorf("boot.img: not the boot sector of a known GRUB (2.02 to 2.12)")
	}
	return nil
}

// embeddedCore returns a core image as it is embedded from the sector start on,
// where there is room for so many sectors: with its block list, and with as much
// redundancy as GRUB's own setup gives it, up to its own size.
func embeddedCore(core []byte, start, room int64) ([]byte, error) {
	need, err := checkCore(core)
	if err != nil {
		return nil, err
	}
	if need > room {
		return nil, fmt.Errorf("the core image has %d sectors, and there are %d for it", need, room)
	}
	// The decoder works in memory, which bounds redundancy too.
	sectors := max(need, min(2*need, room, maxCoreSectors))
	out := make([]byte, sectors*sectorSize)
	copy(out, core)
	binary.LittleEndian.PutUint64(out[blockList:], uint64(start+1))
	binary.LittleEndian.PutUint16(out[blockListLength:], uint16(sectors-1))
	binary.LittleEndian.PutUint16(out[blockListSegment:], coreSegment)

	extra := len(out) - len(core)
	binary.LittleEndian.PutUint32(out[coreRedundancy:], uint32(extra))
	protected := sectorSize + int(binary.LittleEndian.Uint16(core[coreUnprotected:]))
	copy(out[len(core):], redundancy(out[protected:len(core)], extra))
	return out, nil
}

// checkCore refuses what is not a core image for i386-pc as grub-mkimage leaves
// it, and returns its length in sectors.
func checkCore(core []byte) (sectors int64, err error) {
	size := len(core)
	sectors = (int64(size) + sectorSize - 1) / sectorSize
	switch {
	case size < smallestCoreSize:
		return 0, fmt.Errorf("the core image has %d bytes, too few", size)
	case sectors > maxCoreSectors+1:
		return 0, fmt.Errorf("the core image has %d sectors, more than the %d that a PC loads below %#x", sectors, maxCoreSectors+1, coreMemoryEnd)
	case binary.LittleEndian.Uint16(core[blockListSegment:]) != coreSegment ||
		int64(binary.LittleEndian.Uint16(core[blockListLength:])) != sectors-1:
		return 0, fmt.Errorf("the core image does not begin with a block list of all of it: not one of grub-mkimage -O i386-pc")
	case sectorSize+int(binary.LittleEndian.Uint16(core[coreUnprotected:])) > size:
		return 0, fmt.Errorf("the core image is shorter than the part of it that needs no redundancy")
	}
	return sectors, nil
}
