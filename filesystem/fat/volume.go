package fat

import (
	"errors"
	"fmt"
	"io"
	"math/bits"

	"diskwright/content"
)

// ErrNotFAT is wrapped by the errors for what is no FAT file system at all.
var ErrNotFAT = errors.New("not a FAT file system")

// ErrCorrupt is wrapped by the errors for what a FAT file system must not
// hold.
var ErrCorrupt = errors.New("corrupt FAT file system")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// Volume is a FAT file system that is read: one that this package made or any
// other. It is safe for concurrent use if its source is.
type Volume struct {
	r             io.ReaderAt
	bits          int
	sectorSize    int64
	clusterSize   int64
	clusters      uint32
	tableOffset   int64  // of the first FAT, in bytes, as all offsets
	rootOffset    int64  // of the root directory of FAT12/16
	rootEntries   int    // of the same
	rootCluster   uint32 // of FAT32
	dataOffset    int64
	size          int64
	hiddenSectors uint32
	id            uint32
	label         shortName // of the boot sector
}

// ReadInfo returns what the file system in r is and how full. It reads the
// boot sector, the FAT and the root directory. What is no FAT is [ErrNotFAT].
func ReadInfo(r io.ReaderAt, size int64) (Info, error) {
	v, err := Open(r, size)
	if err != nil {
		return Info{}, err
	}
	return v.Info()
}

// Open reads the boot sector of the file system in the size bytes of r. What
// is no FAT is [ErrNotFAT].
func Open(r io.ReaderAt, size int64) (*Volume, error) {
	if size < sectorSize {
		return nil, fmt.Errorf("%w: it has only %d bytes", ErrNotFAT, size)
	}
	b := make([]byte, sectorSize)
	if err := content.ReadFull(r, b, 0); err != nil {
		return nil, fmt.Errorf("fat: boot sector: %w", err)
	}
	v, err := parseBootSector(b)
	if err != nil {
		return nil, err
	}
	if v.size > size {
		return nil, corrupt("its boot sector claims %d bytes and there are %d", v.size, size)
	}
	v.r = r
	return v, nil
}

// parseBootSector reads the first sector ([FAT] "Boot Sector and BPB"). Nothing
// tells a FAT for certain; this asks for what the Linux driver asks for, and
// for the signature.
func parseBootSector(b []byte) (*Volume, error) {
	var (
		sector         = int64(le.Uint16(b[11:]))
		clusterSectors = int64(b[13])
		reserved       = int64(le.Uint16(b[14:]))
		tables         = int64(b[16])
		rootEntries    = int64(le.Uint16(b[17:]))
		sectors        = int64(le.Uint16(b[19:]))
		media          = b[21]
		tableSectors   = int64(le.Uint16(b[22:]))
	)
	switch {
	case le.Uint16(b[510:]) != bootSignature:
		return nil, fmt.Errorf("%w: no signature in its boot sector", ErrNotFAT)
	case sector < 512 || sector > 4096 || bits.OnesCount64(uint64(sector)) != 1:
		return nil, fmt.Errorf("%w: sectors of %d bytes", ErrNotFAT, sector)
	case bits.OnesCount64(uint64(clusterSectors)) != 1:
		return nil, fmt.Errorf("%w: clusters of %d sectors", ErrNotFAT, clusterSectors)
	case reserved == 0 || tables == 0:
		return nil, fmt.Errorf("%w: %d reserved sectors, %d tables", ErrNotFAT, reserved, tables)
	case media != 0xf0 && media < 0xf8:
		return nil, fmt.Errorf("%w: media byte %#x", ErrNotFAT, media)
	}
	v := &Volume{
		sectorSize:    sector,
		clusterSize:   sector * clusterSectors,
		rootEntries:   int(rootEntries),
		hiddenSectors: le.Uint32(b[28:]),
	}
	if sectors == 0 {
		sectors = int64(le.Uint32(b[32:]))
	}
	extension := b[extension16:]
	fat32 := tableSectors == 0
	if fat32 {
		tableSectors = int64(le.Uint32(b[36:]))
		v.rootCluster = le.Uint32(b[44:])
		extension = b[extension32:]
	}
	switch extension[2] {
	case extendedBoot:
		v.label = shortName(extension[7:18])
		v.id = le.Uint32(extension[3:])
	case extendedBoot - 1: // without label and type
		v.label = noLabel
		v.id = le.Uint32(extension[3:])
	default:
		v.label = noLabel
	}
	v.size = sectors * sector
	v.tableOffset = reserved * sector
	v.rootOffset = v.tableOffset + tables*tableSectors*sector
	v.dataOffset = v.rootOffset + (rootEntries*dirEntrySize+sector-1)/sector*sector
	return v, v.countClusters(fat32, tableSectors*sector)
}

// countClusters finds out how many clusters there are, and with that the kind
// of FAT ([FAT] "FAT Type Determination"), but that any FAT with the fields of
// FAT32 is one, as drivers have it.
func (v *Volume) countClusters(fat32 bool, tableBytes int64) error {
	if v.dataOffset >= v.size {
		return corrupt("its data area would begin at byte %d of %d", v.dataOffset, v.size)
	}
	clusters := (v.size - v.dataOffset) / v.clusterSize
	switch {
	case fat32:
		v.bits = 32
	case clusters > maxClusters12:
		v.bits = 16
	default:
		v.bits = 12
	}
	// Clusters without an entry in the FAT cannot be used.
	clusters = min(clusters, tableBytes*8/int64(v.bits)-firstCluster, maxClusters32)
	if clusters <= 0 {
		return corrupt("it has no clusters")
	}
	v.clusters = uint32(clusters)
	return nil
}

// Info returns what the file system is and how full. It reads the FAT and the
// root directory.
func (v *Volume) Info() (Info, error) {
	free, err := v.countFree()
	if err != nil {
		return Info{}, err
	}
	label, err := v.readLabel()
	return Info{
		Bits:          v.bits,
		Label:         label,
		VolumeID:      v.id,
		HiddenSectors: v.hiddenSectors,
		Size:          v.size,
		ClusterSize:   v.clusterSize,
		Clusters:      int64(v.clusters),
		FreeClusters:  free,
	}, err
}

// readLabel returns the label that the root directory has, else that of the
// boot sector: systems that change it may leave the latter alone.
func (v *Volume) readLabel() (string, error) {
	root, err := v.readRaw(v.Root())
	if err != nil {
		return "", err
	}
	for e := range entriesOf(root) {
		if e[11]&attrMask != attrLong && e[11]&attrVolume != 0 {
			return decodeLabel(shortName(e[:shortLen])), nil
		}
	}
	return decodeLabel(v.label), nil
}

// countFree returns the number of free clusters. FSInfo has it too, but only
// as a hint ([FAT] "FAT32 FSInfo Sector Structure").
func (v *Volume) countFree() (int64, error) {
	free := int64(0)
	t := v.tableReader()
	for c := uint32(0); c < v.clusters; c++ {
		next, err := t.next(firstCluster + c)
		if err != nil {
			return 0, err
		}
		if next == 0 {
			free++
		}
	}
	return free, nil
}

// tableReader reads entries of the FAT. It is not safe for concurrent use.
type tableReader struct {
	v     *Volume
	start int64 // where the window begins in the FAT
	buf   []byte
	store [tableWindow]byte
}

// tableWindow is how much of the FAT is read at once: a multiple of the three
// bytes that two entries of FAT12 share, and of four.
const tableWindow = 12 << 10

func (v *Volume) tableReader() *tableReader { return &tableReader{v: v} }

// next returns the entry of cluster c, which must exist. Entries of FAT32 have
// 28 bits.
func (t *tableReader) next(c uint32) (uint32, error) {
	width := int64(t.v.bits)
	at := int64(c) * width / 8
	if at < t.start || at >= t.start+int64(len(t.buf)) {
		if err := t.load(at / tableWindow * tableWindow); err != nil {
			return 0, err
		}
	}
	p := t.buf[at-t.start:]
	switch width {
	case 12:
		return uint32(le.Uint16(p)) >> (c % 2 * 4) & 0xfff, nil
	case 16:
		return uint32(le.Uint16(p)), nil
	}
	return le.Uint32(p) & 0x0fffffff, nil
}

// load reads the window that begins at start.
func (t *tableReader) load(start int64) error {
	tableBytes := ((int64(t.v.clusters)+firstCluster)*int64(t.v.bits) + 7) / 8
	t.buf = t.store[:min(tableWindow, tableBytes-start)]
	t.start = start
	if err := content.ReadFull(t.v.r, t.buf, t.v.tableOffset+start); err != nil {
		t.buf = nil
		return fmt.Errorf("fat: file allocation table: %w", err)
	}
	return nil
}
