package vmdk

import (
	"encoding/binary"
	"errors"
	"fmt"

	"diskwright/format/block"
)

var le = binary.LittleEndian

const (
	headerMagic = 0x564d444b // "KDMV", as it is in the file

	versionSparse = 1
	versionStream = 3 // what VMware gives streamOptimized

	flagNewlines  = 1 << 0 // the bytes at 73 are newlines as they should be
	flagRedundant = 1 << 1 // there is a redundant grain directory
	flagZeroGrain = 1 << 2 // entries of 1 are grains of zeros
	flagCompress  = 1 << 16
	flagMarkers   = 1 << 17

	compressDeflate = 1

	// directoryAtEnd is where the grain directory is said to be in the header
	// of a stream: the footer knows.
	directoryAtEnd = 0xffff_ffff_ffff_ffff

	// newlines are the bytes that a transfer as text would damage:
	// singleEndLineChar, nonEndLineChar, doubleEndLineChar1 and 2.
	newlines = "\n \r\n"
)

// header is SparseExtentHeader. Places are in sectors.
type header struct {
	version, flags     uint32
	capacity           uint64
	grainSize          uint64
	descriptor         uint64
	descriptorSize     uint64
	tableEntries       uint32
	redundantDirectory uint64
	directory          uint64
	overhead           uint64 // where grains may begin
	unclean            bool
	compression        uint16
}

func (h *header) encode() []byte {
	p := make([]byte, sectorSize)
	le.PutUint32(p[0:], headerMagic)
	le.PutUint32(p[4:], h.version)
	le.PutUint32(p[8:], h.flags)
	le.PutUint64(p[12:], h.capacity)
	le.PutUint64(p[20:], h.grainSize)
	le.PutUint64(p[28:], h.descriptor)
	le.PutUint64(p[36:], h.descriptorSize)
	le.PutUint32(p[44:], h.tableEntries)
	le.PutUint64(p[48:], h.redundantDirectory)
	le.PutUint64(p[56:], h.directory)
	le.PutUint64(p[64:], h.overhead)
	if h.unclean {
		p[72] = 1
	}
	copy(p[73:77], newlines)
	le.PutUint16(p[77:], h.compression)
	return p
}

func decodeHeader(p []byte) (*header, error) {
	if le.Uint32(p) != headerMagic {
		return nil, errors.New("not an image of VMware: the signature is wrong")
	}
	if le.Uint32(p[8:])&flagNewlines != 0 && string(p[73:77]) != newlines {
		return nil, errors.New("it was damaged by a transfer as text: its newlines are not what they were")
	}
	return &header{
		version:            le.Uint32(p[4:]),
		flags:              le.Uint32(p[8:]),
		capacity:           le.Uint64(p[12:]),
		grainSize:          le.Uint64(p[20:]),
		descriptor:         le.Uint64(p[28:]),
		descriptorSize:     le.Uint64(p[36:]),
		tableEntries:       le.Uint32(p[44:]),
		redundantDirectory: le.Uint64(p[48:]),
		directory:          le.Uint64(p[56:]),
		overhead:           le.Uint64(p[64:]),
		unclean:            p[72] != 0,
		compression:        le.Uint16(p[77:]),
	}, nil
}

// check refuses what cannot be read.
func (h *header) check(fileSize int64) error {
	sectors := uint64(block.DivideUp(fileSize, sectorSize))
	switch {
	case h.version < 1 || h.version > 3:
		return fmt.Errorf("version %d; only 1 to 3 can be read", h.version)
	case h.capacity > MaxSize/sectorSize:
		return fmt.Errorf("a disk of %d sectors is more than the %d that can be read", h.capacity, int64(MaxSize/sectorSize))
	case h.grainSize < 8 || h.grainSize > maxGrainSectors || h.grainSize&(h.grainSize-1) != 0:
		return fmt.Errorf("grains of %d sectors; that must be a power of two from 8 to %d", h.grainSize, maxGrainSectors)
	case h.tableEntries < 1 || h.tableEntries > tableGrains:
		return fmt.Errorf("grain tables of %d entries; that must be 1 to %d", h.tableEntries, tableGrains)
	case h.directory == 0 || h.directory >= sectors:
		return fmt.Errorf("the grain directory would be at sector %d, but the file has %d: %w", h.directory, sectors, block.ErrTruncated)
	case h.compressed() != (h.flags&flagCompress != 0) || h.compressed() != (h.flags&flagMarkers != 0):
		return fmt.Errorf("flags %#x and compression %d contradict each other", h.flags, h.compression)
	case h.compression > compressDeflate:
		return fmt.Errorf("unknown compression %d", h.compression)
	case h.tables() > maxTables:
		return fmt.Errorf("a disk of %d sectors with %d grain tables", h.capacity, h.tables())
	}
	return nil
}

const (
	maxGrainSectors = 4096 // 2 MiB

	// maxTables bounds the memory for the grain directory: 16 MiB.
	maxTables = 4 << 20
)

func (h *header) compressed() bool { return h.compression == compressDeflate }

// tables returns how many grain tables the disk has.
func (h *header) tables() int64 {
	return block.DivideUp(int64(h.capacity), int64(h.grainSize)*int64(h.tableEntries))
}
