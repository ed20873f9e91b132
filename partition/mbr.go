package partition

import (
	"encoding/binary"
	"encoding/hex"
)

// The MBR (UEFI specification, section 5.2, which writes down what PCs have
// done since 1983).
//
//	  0  boot code
//	440  disk signature
//	444  zero, or "copy protected"
//	446  four entries of 16 bytes
//	510  55 AA
const (
	bootCodeSize     = 440
	mbrSignature     = 440
	mbrEntryTable    = 446
	mbrEntries       = 4
	mbrEntrySize     = 16
	mbrMagic         = 510
	mbrMagicLow      = 0x55
	mbrMagicHigh     = 0xaa
	mbrStatusActive  = 0x80
	mbrStatusDefault = 0x00
)

// Types of MBR partitions that mean something here.
const (
	CodeExtended    = 0x05
	CodeFAT32LBA    = 0x0c
	CodeExtendedLBA = 0x0f
	CodeLinux       = 0x83
	CodeLinuxExt    = 0x85
	CodeProtective  = 0xee
	CodeESP         = 0xef
)

// libpartedBootCode is what parted writes into an MBR that has no boot code: it
// copies itself out of the way, looks for the active partition and starts its
// first sector.
var libpartedBootCode = func() []byte {
	code, err := hex.DecodeString("fab800108ed0bc00b0b800008ed88ec0" +
		"fbbe007cbf0006b90002f3a4ea210600" +
		"00bebe073804750b83c61081fefe0775" +
		"f3eb16b402b001bb007cb2808a74018b" +
		"4c02cd13ea007c0000ebfe")
	if err != nil {
		panic(err)
	}
	return code
}()

// mbrEntry is an entry of an MBR, without its cylinders.
type mbrEntry struct {
	status byte
	code   byte
	start  uint32
	length uint32
}

// decodeMBREntry decodes 16 bytes.
func decodeMBREntry(b []byte) mbrEntry {
	return mbrEntry{
		status: b[0],
		code:   b[4],
		start:  binary.LittleEndian.Uint32(b[8:]),
		length: binary.LittleEndian.Uint32(b[12:]),
	}
}

func (e mbrEntry) empty() bool { return e.code == 0 || e.length == 0 }

func (e mbrEntry) extended() bool {
	return e.code == CodeExtended || e.code == CodeExtendedLBA || e.code == CodeLinuxExt
}

// masterBootRecord returns sector 0 of a disk with an MBR.
func (t *Table) masterBootRecord() []byte {
	sector := t.bootSector()
	binary.LittleEndian.PutUint32(sector[mbrSignature:], t.Signature)
	for _, p := range t.Partitions {
		status := byte(mbrStatusDefault)
		if p.Active {
			status = mbrStatusActive
		}
		putMBREntry(sector, p.Number, mbrEntry{status, p.TypeCode, uint32(p.Start), uint32(p.Sectors)},
			cylinders(p.Start), cylinders(p.Last()))
	}
	return sector
}

// protectiveMBR returns sector 0 of a disk with a GPT: one partition that
// covers the disk, or as much of it as an MBR can say, so that programs that
// only know the MBR see a full disk. Its last cylinder is the one that parted
// writes at any size; sgdisk would calculate it, and ZFS knows none of the first
// either.
func (t *Table) protectiveMBR() []byte {
	sector := t.bootSector()
	length := min(t.DiskSize/SectorSize-1, maxMBR)
	first := [3]byte{0x00, 0x02, 0x00}
	if t.Layout == ZFSRoot {
		first = [3]byte{0xff, 0xff, 0xff}
	}
	putMBREntry(sector, 1, mbrEntry{mbrStatusDefault, CodeProtective, 1, uint32(length)}, first, [3]byte{0xff, 0xff, 0xff})
	return sector
}

// bootSector returns a sector 0 without entries.
func (t *Table) bootSector() []byte {
	sector := make([]byte, SectorSize)
	copy(sector[:bootCodeSize], t.BootCode)
	sector[mbrMagic], sector[mbrMagic+1] = mbrMagicLow, mbrMagicHigh
	return sector
}

// putMBREntry writes an entry of 16 bytes.
func putMBREntry(sector []byte, number int, e mbrEntry, first, last [3]byte) {
	b := sector[mbrEntryTable+(number-1)*mbrEntrySize:][:mbrEntrySize]
	b[0] = e.status
	copy(b[1:4], first[:])
	b[4] = e.code
	copy(b[5:8], last[:])
	binary.LittleEndian.PutUint32(b[8:], e.start)
	binary.LittleEndian.PutUint32(b[12:], e.length)
}

// cylinders returns the place of a sector as cylinder, head and sector, for a
// BIOS from before 1996. Nothing reads it, but every byte counts: parted takes
// an image file for a disk with 4 heads and 32 sectors, and what is beyond
// 1,024 cylinders for the last place of the last one.
func cylinders(sector int64) [3]byte {
	const heads, sectors, maxCylinder = 4, 32, 1023
	c, h, s := sector/(heads*sectors), sector/sectors%heads, sector%sectors+1
	if c > maxCylinder {
		c, h, s = maxCylinder, heads-1, sectors
	}
	return [3]byte{byte(h), byte(s) | byte(c>>8)<<6, byte(c)}
}
