package overlay

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"diskwright/content"
	"diskwright/partition"
)

// Area is a run of sectors outside of file systems that an installer has written.
type Area struct {
	Offset int64
	Data   []byte
}

// Areas is what an installer has written outside of file systems, with which a
// disk that is planned again starts as the one did that it wrote to.
type Areas struct {
	BootCode []byte // the program in the first sector, nil if it is unchanged
	Embedded []Area // whole sectors, in the gap in front of partitions and in the BIOS boot partition
	Active   int    // the partition that was made active, 0 if none was
}

// PlaceError is why what an installer has made works on no disk but the one that it
// wrote to.
type PlaceError struct{ Reason string }

func (e *PlaceError) Error() string { return e.Reason }

func placeError(format string, args ...any) error {
	return &PlaceError{fmt.Sprintf(format, args...)}
}

const (
	sector       = partition.SectorSize
	bootCodeSize = 440 // in front of the disk signature and the table
	tableOffset  = 446
	entrySize    = 16
	active       = 0x80
	// superblock is where what is before an ext4 file system ends, and
	// bootSector how long that of a FAT is.
	superblock = 1024
	bootSector = 512
)

// ReadAreas compares a disk with what it was. What cannot be carried over to a disk
// that is planned again is a [PlaceError]: a changed partition table, programs in the
// boot sectors of file systems, and lists of blocks in one.
func ReadAreas(before, after io.ReaderAt, t *partition.Table) (*Areas, error) {
	result := &Areas{}
	if err := result.firstSector(before, after, t); err != nil {
		return nil, err
	}
	for _, run := range outside(t) {
		areas, err := changed(before, after, run.Start*sector, run.Sectors*sector)
		if err != nil {
			return nil, err
		}
		result.Embedded = append(result.Embedded, areas...)
	}
	for _, run := range tables(t) {
		if areas, err := changed(before, after, run.Start*sector, run.Sectors*sector); err != nil {
			return nil, err
		} else if len(areas) > 0 {
			return nil, placeError("the installer has changed the partition table, at byte %d", areas[0].Offset)
		}
	}
	for _, p := range t.Partitions {
		if p.Role == partition.BIOSBoot {
			continue
		}
		size := int64(superblock)
		if p.Role != partition.Root {
			size = bootSector
		}
		areas, err := changed(before, after, p.Start*sector, size)
		if err != nil {
			return nil, err
		}
		if len(areas) > 0 {
			return nil, placeError("the installer has put a program into the boot sector of partition %d, which finds its files by their blocks", p.Number)
		}
	}
	return result, result.checkBlockLists(t)
}

// run is a run of sectors.
type run struct{ Start, Sectors int64 }

// outside returns what lies in no file system and is no table: the gap before the
// first partition, the BIOS boot partition, and what is between partitions.
func outside(t *partition.Table) (runs []run) {
	if t.Scheme == partition.Unpartitioned {
		return nil
	}
	at, end := t.Usable()
	parts := slices.Clone(t.Partitions)
	slices.SortFunc(parts, func(a, b partition.Partition) int { return cmp.Compare(a.Start, b.Start) })
	for _, p := range parts {
		if p.Role == partition.BIOSBoot {
			continue
		}
		if p.Start > at {
			runs = append(runs, run{at, p.Start - at})
		}
		at = max(at, p.Start+p.Sectors)
	}
	if end > at {
		runs = append(runs, run{at, end - at})
	}
	return runs
}

// tables returns what a GPT occupies but for the first sector.
func tables(t *partition.Table) []run {
	if t.Scheme != partition.GPT {
		return nil
	}
	return []run{{1, t.FirstUsable - 1}, {t.LastUsable + 1, t.DiskSize/sector - t.LastUsable - 1}}
}

// firstSector compares the first sector.
func (a *Areas) firstSector(before, after io.ReaderAt, t *partition.Table) error {
	if t.Scheme == partition.Unpartitioned {
		return nil // it is the file system's
	}
	var was, is [sector]byte
	if err := content.ReadFull(before, was[:], 0); err != nil {
		return err
	}
	if err := content.ReadFull(after, is[:], 0); err != nil {
		return err
	}
	if !bytes.Equal(was[:bootCodeSize], is[:bootCodeSize]) {
		a.BootCode = slices.Clone(is[:bootCodeSize])
	}
	for n := range 4 {
		at := tableOffset + n*entrySize
		if is[at] != was[at] && is[at] == active && t.Scheme == partition.MBR {
			a.Active = n + 1
			is[at] = was[at]
		}
	}
	if !bytes.Equal(was[bootCodeSize:], is[bootCodeSize:]) {
		return placeError("the installer has changed the partition table in the first sector")
	}
	return nil
}

// changed returns the runs of sectors that differ.
func changed(before, after io.ReaderAt, offset, size int64) (areas []Area, err error) {
	var bufs [2][]byte
	for n := range bufs {
		bufs[n] = make([]byte, min(piece, size))
	}
	for at := offset; at < offset+size; at += piece {
		n := min(piece, offset+size-at)
		for i, src := range []io.ReaderAt{before, after} {
			if err := content.ReadFull(src, bufs[i][:n], at); err != nil {
				return nil, err
			}
		}
		if bytes.Equal(bufs[0][:n], bufs[1][:n]) {
			continue
		}
		for s := int64(0); s < n; s += sector {
			end := min(s+sector, n)
			is := bufs[1][s:end]
			if bytes.Equal(bufs[0][s:end], is) {
				continue
			}
			if last := len(areas) - 1; last >= 0 && areas[last].Offset+int64(len(areas[last].Data)) == at+s {
				areas[last].Data = append(areas[last].Data, is...)
			} else {
				areas = append(areas, Area{at + s, slices.Clone(is)})
			}
		}
	}
	return areas, nil
}

// Where GRUB has positions of blocks: in boot.img, which is in the first sector,
// that of the first sector of core.img, and at the end of that, diskboot.img, a
// list that ends downwards with one of no sectors.
const (
	grubKernelSector = 0x5c  // u64
	grubFirstList    = 0x1f4 // u64 start, u16 sectors, u16 segment
	grubListSize     = 12
)

// grubMagic is what diskboot.img and boot.img of GRUB both have as text.
var grubMagic = []byte("GRUB ")

// LILO says so in the first sector, and reads nothing but lists of blocks.
const liloOffset, liloMagic = 6, "LILO"

// checkBlockLists refuses a boot sector that reads blocks of a file system: they are
// elsewhere on a disk that is planned again. It knows those of GRUB and LILO; other
// loaders have theirs in boot sectors of file systems.
func (a *Areas) checkBlockLists(t *partition.Table) error {
	if a.BootCode == nil {
		return nil
	}
	if bytes.HasPrefix(a.BootCode[liloOffset:], []byte(liloMagic)) {
		return placeError("the boot loader is LILO, which finds its files by their blocks: it would not find them on a disk whose files lie elsewhere")
	}
	if !bytes.Contains(a.BootCode, grubMagic) {
		return nil
	}
	first := int64(binary.LittleEndian.Uint64(a.BootCode[grubKernelSector:]))
	if p := fileSystemAt(t, first); p != 0 {
		return blockListError(p, first)
	}
	core := a.sectorAt(first)
	if core == nil {
		return nil // as it was before
	}
	for at := grubFirstList; at > 0; at -= grubListSize {
		start, count := int64(binary.LittleEndian.Uint64(core[at:])), binary.LittleEndian.Uint16(core[at+8:])
		if count == 0 {
			return nil
		}
		if p := fileSystemAt(t, start); p != 0 {
			return blockListError(p, start)
		}
	}
	return nil
}

func blockListError(partition int, sector int64) error {
	return placeError("the boot loader starts from block %d, in the file system of partition %d: it would not find it on a disk whose files lie elsewhere", sector, partition)
}

// sectorAt returns a sector that was embedded, or nil.
func (a *Areas) sectorAt(number int64) []byte {
	for _, e := range a.Embedded {
		if at := number*sector - e.Offset; at >= 0 && at+sector <= int64(len(e.Data)) {
			return e.Data[at : at+sector]
		}
	}
	return nil
}

// fileSystemAt returns the number of the partition with a file system in which a
// sector lies, or 0.
func fileSystemAt(t *partition.Table, number int64) int {
	for _, p := range t.Partitions {
		if p.Role != partition.BIOSBoot && number >= p.Start && number < p.Start+p.Sectors {
			return p.Number
		}
	}
	return 0
}
