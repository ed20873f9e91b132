package limine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strconv"

	"diskwright/boot"
	"diskwright/partition"
)

// The boot sector (Limine, stage1/hdd/bootsect.asm: the same from version 3 to 8).
const (
	sectorSize    = partition.SectorSize
	offOEM        = 3
	offTimestamp  = 0xda // 6 bytes that Windows writes, kept from the disk
	offHalves     = 0x1a4
	offMagic      = 510
	oem           = "LIMINE  "
	bootCodeSize  = 440      // what is behind it belongs to the partition table
	maxBootImage  = 64 << 10 // it is loaded into one segment
	loadAddress   = 0x70000  // of stage 2
	gzipMagic     = "\x1f\x8b\x08"
	timestampSize = 6
)

// callDecompressor finds the end of the boot sector's code: push edx, push the
// size of the compressed stage 2, push its address, call the decompressor. That
// is the only place that tells how long a boot image is.
func callDecompressor(sector []byte) (size, address int64, ok bool) {
	const (
		pushEDX   = 0x52
		pushImm32 = 0x68
		call      = 0xe8
	)
	for n := 0; n+12 <= offHalves; n++ {
		if b := sector[n:]; b[0] == pushEDX && b[1] == pushImm32 && b[6] == pushImm32 && b[11] == call {
			return int64(binary.LittleEndian.Uint32(b[2:])), int64(binary.LittleEndian.Uint32(b[7:])), true
		}
	}
	return 0, 0, false
}

// BootImage is what Limine puts into a disk for BIOS.
type BootImage struct {
	sector []byte // the boot sector
	stage2 []byte // with its decompressor
}

// ParseBootImage finds a boot image in a file: limine-bios-hdd.bin, the C header
// limine-bios-hdd.h that is made of it, or the program limine, which has it
// among its data. Packages have only the program.
func ParseBootImage(file []byte) (*BootImage, error) {
	for at := 0; ; at++ {
		n := bytes.Index(file[at:], []byte(oem))
		if n < 0 {
			break
		}
		at += n
		if at < offOEM {
			continue
		}
		if image, ok := parseImage(file[at-offOEM:]); ok {
			return image, nil
		}
	}
	if text := arrayInC(file); text != nil {
		if image, ok := parseImage(text); ok {
			return image, nil
		}
	}
	return nil, errors.New("has no boot image of limine 3 or later in it: want limine-bios-hdd.h, or the program limine, built with BIOS support")
}

// parseImage takes the boot image that b begins with, if it is one.
func parseImage(b []byte) (*BootImage, bool) {
	if len(b) < sectorSize || string(b[offOEM:offOEM+len(oem)]) != oem || b[offMagic] != 0x55 || b[offMagic+1] != 0xaa {
		return nil, false
	}
	sector, rest := b[:sectorSize], b[sectorSize:]
	size, address, ok := callDecompressor(sector)
	start := address - loadAddress
	if !ok || start < 0 || start > int64(len(rest)) || start+size > min(int64(len(rest)), maxBootImage) || !bytes.HasPrefix(rest[start:], []byte(gzipMagic)) {
		return nil, false
	}
	return &BootImage{sector: sector, stage2: rest[:start+size]}, true
}

// cByte matches a byte in C's source.
var cByte = regexp.MustCompile(`0[xX][0-9a-fA-F]{1,2}\b`)

// arrayInC returns the first array of bytes in C's source, or nil.
func arrayInC(source []byte) []byte {
	from := bytes.IndexByte(source, '{')
	to := bytes.IndexByte(source, '}')
	if from < 0 || to < from {
		return nil
	}
	var b []byte
	for _, text := range cByte.FindAll(source[from:to], maxBootImage+sectorSize) {
		value, err := strconv.ParseUint(string(text), 0, 8)
		if err != nil {
			return nil
		}
		b = append(b, byte(value))
	}
	return b
}

// bootImage reads the boot image: from the host if the settings say so, or from
// the package.
func (i *installer) bootImage(dir string) (*BootImage, error) {
	if name := i.s.BIOSImage; name != "" {
		file, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("biosImage: %w", err)
		}
		image, err := ParseBootImage(file)
		if err != nil {
			return nil, fmt.Errorf("biosImage: %q %w", name, err)
		}
		return image, nil
	}
	for _, name := range []string{"share/limine/limine-bios-hdd.bin", "share/limine/limine-bios-hdd.h", "bin/limine"} {
		name = path.Join(dir, name)
		file, err := i.Files.Read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		image, err := ParseBootImage(file)
		if err != nil {
			return nil, fmt.Errorf("%q %w", name, err)
		}
		return image, nil
	}
	return nil, fmt.Errorf("%q has no bin/limine, whose data has what goes into the disk for BIOS: set biosImage to a file that has it", dir)
}

// Embedding is a boot image in its place.
type Embedding struct {
	BootCode []byte        // for sector 0
	Stage2   boot.Embedded // both halves, one behind the other
	Active   int           // number of the partition of an MBR that must be active if none is; 0 is none
}

// Embed says where the parts of the boot image go on a disk: behind an MBR; or
// on a GPT into the partition with number index, or with index 0 into its BIOS
// boot partition, or if it has none in front of its first partition. None of
// these places depends on the size of the disk.
//
// The first two are those that `limine bios-install` (8.2.0) chooses. Without an
// index it would shorten the arrays of entries of the GPT and put a half into
// each. The second half is then where the disk ends: if the image is enlarged and
// its last partition grows, as NixOS does at the first start, that is overwritten.
func (im *BootImage) Embed(t *partition.Table, index int) (*Embedding, error) {
	switch {
	case t.Scheme == partition.MBR && index != 0:
		return nil, fmt.Errorf("partitionIndex is %d: an MBR needs none, want null", index)
	case t.Scheme == partition.MBR:
		// Some BIOSes start from no disk without an active partition.
		return im.embedInFront(t, sectorSize, 1)
	case t.Scheme == partition.Unpartitioned:
		return nil, errors.New("a disk without partitions has no place for limine's stage 2")
	}
	if p, ok := t.ByRole(partition.BIOSBoot); ok && index == 0 {
		index = p.Number
	}
	if index != 0 {
		return im.embedPartition(t, index)
	}
	return im.embedInFront(t, t.FirstUsable*sectorSize, 0)
}

// halves returns the sizes of the halves of stage 2, whole sectors; the second
// may be longer than what there is.
func (im *BootImage) halves() (a, b int) {
	sectors := (len(im.stage2) + sectorSize - 1) / sectorSize
	return (sectors + 1) / 2 * sectorSize, sectors / 2 * sectorSize
}

// embedInFront places stage 2 at an offset in front of the first partition.
func (im *BootImage) embedInFront(t *partition.Table, at int64, active int) (*Embedding, error) {
	a, b := im.halves()
	end := at + int64(a+b)
	for _, p := range t.Partitions {
		if t.Offset(p) < end {
			return nil, fmt.Errorf("partition %d begins at sector %d, and stage 2 needs those before sector %d", p.Number, p.Start, end/sectorSize)
		}
	}
	return im.embedAt(at, active), nil
}

// embedAt places stage 2 at an offset.
func (im *BootImage) embedAt(at int64, active int) *Embedding {
	a, _ := im.halves()
	return &Embedding{
		BootCode: im.bootCode(at, at+int64(a)),
		Stage2:   boot.Embedded{Offset: at, Data: im.stage2},
		Active:   active,
	}
}

// embedPartition places stage 2 into a BIOS boot partition.
func (im *BootImage) embedPartition(t *partition.Table, index int) (*Embedding, error) {
	for _, p := range t.Partitions {
		if p.Number != index {
			continue
		}
		a, b := im.halves()
		switch {
		case p.Role != partition.BIOSBoot:
			return nil, fmt.Errorf("partitionIndex is %d: that partition (%s) is no BIOS boot partition, and what is in it would be overwritten", index, p.TypeName())
		case t.Size(p) < int64(a+b):
			return nil, fmt.Errorf("partitionIndex is %d: that partition has %d bytes, and stage 2 %d", index, t.Size(p), a+b)
		}
		return im.embedAt(t.Offset(p), 0), nil
	}
	return nil, fmt.Errorf("partitionIndex is %d: partitionTableType %s has no such partition", index, t.Layout)
}

// bootCode returns the boot code that loads the halves of stage 2 from offsets
// of the disk.
func (im *BootImage) bootCode(first, second int64) []byte {
	code := bytes.Clone(im.sector[:bootCodeSize])
	clear(code[offTimestamp : offTimestamp+timestampSize]) // a new disk has none
	a, b := im.halves()
	binary.LittleEndian.PutUint16(code[offHalves:], uint16(a))
	binary.LittleEndian.PutUint16(code[offHalves+2:], uint16(b))
	binary.LittleEndian.PutUint64(code[offHalves+4:], uint64(first))
	binary.LittleEndian.PutUint64(code[offHalves+12:], uint64(second))
	return code
}
