package fat

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// le is the byte order of everything on disk.
var le = binary.LittleEndian

// Values of the boot sector.
const (
	oemName       = "mkfs.fat"
	mediaDisk     = 0xf8 // not removable
	driveNumber   = 0x80 // the BIOS's first disk
	extendedBoot  = 0x29 // volume id, label and type follow
	bootSignature = 0xaa55

	infoLead   = 0x41615252 // "RRaA"
	infoStruct = 0x61417272 // "rrAa"

	extension16 = 36 // offset of the drive number and what follows it in FAT12/16
	extension32 = 64 // the same in FAT32
	bootCodeOff = 26 // of the code, in the extension
)

// noLabel stands in the boot sector of a volume without a label.
var noLabel = shortName([]byte("NO NAME    "))

// bootMessage is what a BIOS that boots from the volume shows. It and the code
// before it are those of mkfs.vfat, which are in the public domain.
const bootMessage = "This is not a bootable disk.  Please insert a bootable floppy and\r\n" +
	"press any key to try again ... \r\n"

// bootCode prints the message at address message and reboots at a key.
func bootCode(message uint16) []byte {
	code := []byte{
		0x0e,                                    // push cs
		0x1f,                                    // pop ds
		0xbe, byte(message), byte(message >> 8), // mov si, message
		0xac,       // print: lodsb
		0x22, 0xc0, // and al, al
		0x74, 0x0b, // jz key
		0x56,       // push si
		0xb4, 0x0e, // mov ah, 0x0e
		0xbb, 0x07, 0x00, // mov bx, 7
		0xcd, 0x10, // int 0x10
		0x5e,       // pop si
		0xeb, 0xf0, // jmp print
		0x32, 0xe4, // key: xor ah, ah
		0xcd, 0x16, // int 0x16
		0xcd, 0x19, // int 0x19
		0xeb, 0xfe, // jmp $
	}
	return append(code, bootMessage...)
}

// bootSector returns the first sector ([FAT] "Boot Sector and BPB").
func (fs *FileSystem) bootSector() []byte {
	g := fs.geo
	b := make([]byte, sectorSize)
	extension := extension16
	if g.bits == 32 {
		extension = extension32
	}
	code := extension + bootCodeOff
	copy(b, []byte{0xeb, byte(code - 2), 0x90}) // jmp code; nop
	copy(b[3:11], oemName)
	le.PutUint16(b[11:], sectorSize)
	b[13] = byte(g.clusterSectors)
	le.PutUint16(b[14:], uint16(g.reserved))
	b[16] = tableCopies
	le.PutUint16(b[17:], uint16(g.rootEntries()))
	if g.sectors < 1<<16 {
		le.PutUint16(b[19:], uint16(g.sectors))
	} else {
		le.PutUint32(b[32:], g.sectors)
	}
	b[21] = mediaDisk
	le.PutUint16(b[24:], sectorsPerTrack)
	le.PutUint16(b[26:], heads)
	le.PutUint32(b[28:], fs.opts.HiddenSectors)
	if g.bits == 32 {
		le.PutUint32(b[36:], g.tableSectors)
		le.PutUint32(b[44:], firstCluster) // the root directory
		le.PutUint16(b[48:], infoSector)
		le.PutUint16(b[50:], backupSector)
	} else {
		le.PutUint16(b[22:], uint16(g.tableSectors))
	}

	e := b[extension:]
	e[0] = driveNumber
	e[2] = extendedBoot
	le.PutUint32(e[3:], fs.opts.VolumeID)
	copy(e[7:18], fs.label[:])
	copy(e[18:26], fmt.Sprintf("FAT%-5d", g.bits))
	message := len(bootCode(0)) - len(bootMessage)
	copy(b[code:], bootCode(uint16(0x7c00+code+message))) // the BIOS loads it at 0x7c00
	le.PutUint16(b[510:], bootSignature)
	return b
}

// fsInfo returns the sector that saves drivers counting the free clusters
// ([FAT] "FAT32 FSInfo Sector Structure"). They look for free ones behind the
// last that was allocated.
func (fs *FileSystem) fsInfo() []byte {
	b := make([]byte, sectorSize)
	le.PutUint32(b, infoLead)
	le.PutUint32(b[484:], infoStruct)
	le.PutUint32(b[488:], uint32(fs.freeClusters()))
	le.PutUint32(b[492:], fs.table.next-1)
	le.PutUint16(b[510:], bootSignature)
	return b
}

// encodeLabel pads a label. It refuses what mkfs.vfat refuses, and characters
// that are not ASCII, since the label has no code page.
func encodeLabel(label string) (shortName, error) {
	out := noLabel
	if label == "" {
		return out, nil
	}
	const forbidden = `*?.,;:/\|+=<>[]"`
	switch {
	case len(label) > len(out):
		return out, fmt.Errorf("fat: label %q has %d bytes, and at most %d are possible", label, len(label), len(out))
	case label[0] == ' ':
		return out, fmt.Errorf("fat: label %q starts with a space", label)
	case strings.ContainsAny(label, forbidden):
		return out, fmt.Errorf("fat: label %q holds one of the characters %s", label, forbidden)
	case strings.ContainsFunc(label, func(r rune) bool { return r < ' ' || r > '~' }):
		return out, fmt.Errorf("fat: label %q is not printable ASCII", label)
	}
	copy(out[:], label+strings.Repeat(" ", len(out)-len(label)))
	return out, nil
}

// decodeLabel returns the text of a label, "" for none.
func decodeLabel(label shortName) string {
	if label == noLabel {
		return ""
	}
	return label.text()
}
