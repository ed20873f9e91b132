// Package vmdk reads and writes the disk images of VMware, in the two forms
// that are one file: monolithicSparse, which virtual machines run from, and
// streamOptimized, the compressed form inside of OVA archives.
//
// The disk is cut into grains of 64 KiB. A grain table holds the places of 512
// of them, and the grain directory the places of the tables. Places are numbers
// of sectors of the file, of 32 bits; zero is a grain, or table, that is not
// there.
//
// monolithicSparse has all tables, twice, in front of the grains:
//
//	0     header
//	1     descriptor, a text, up to sector 21
//	21    redundant grain directory, redundant grain tables
//	      grain directory, grain tables
//	      grains, from a multiple of 64 KiB on
//
//	disk   |0000|....|1111|2222|....|
//	file   |header|text|directory, tables 0 - 1 2 -, twice|0000|1111|2222|
//
// streamOptimized can be written, and read, from front to back. What is in it
// is announced by markers, grains are compressed, and each table comes behind
// its grains:
//
//	0     header: the directory is at the end
//	1     descriptor, up to sector 128
//	      grain 0, grain 1, ...      each: LBA, length, zlib stream, padding
//	      marker, grain table
//	      ...
//	      marker, grain directory
//	      marker, footer: the header, and where the directory is
//	end   end-of-stream marker
//
// All integers are little-endian. Names are those of VMware's "Virtual Disk
// Format 5.0".
package vmdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"diskwright/diskmap"
	"diskwright/format/block"
)

// Subformat is what descriptors call createType.
type Subformat int

const (
	// MonolithicSparse is one file that grows.
	MonolithicSparse Subformat = iota
	// StreamOptimized is one compressed file, which virtual machines cannot run
	// from: it is imported.
	StreamOptimized
)

func (s Subformat) String() string {
	if s == StreamOptimized {
		return "streamOptimized"
	}
	return "monolithicSparse"
}

// Options of writing. The zero value is good.
type Options struct {
	block.Options
	Subformat Subformat
	// Adapter is the kind of controller that the disk is for: ide, buslogic,
	// lsilogic or legacyESX; empty is lsilogic, as for new machines of VMware.
	// ESXi wants it to be what the machine has.
	Adapter string
	// HardwareVersion is the least version of virtual hardware that can have
	// the disk; zero is 4, which everything has.
	HardwareVersion int
	// Name is the file name that the descriptor mentions; empty is disk.vmdk.
	// Programs read the descriptor's own file instead.
	Name string
	// Level is how much the grains of a StreamOptimized image are compressed,
	// from 1, fast, to 9, small; zero is 6.
	Level int
}

const (
	// GrainSize is that of all images that are made here, and by nearly all
	// others.
	GrainSize = 64 << 10

	// MaxSize is the largest disk in bytes, the limit of VMware: 62 TiB.
	MaxSize = 62 << 40

	sectorSize   = 512
	grainSectors = GrainSize / sectorSize

	// tableGrains is how many grains a grain table has (numGTEsPerGT).
	tableGrains  = 512
	tableSectors = tableGrains * entrySize / sectorSize
	entrySize    = 4

	descriptorSector  = 1
	descriptorSectors = 20
)

// Write writes an image of the disk m to f, an empty regular file. A disk that
// ends within a sector is filled up with zeros. The descriptor's content ID is
// from the identifier of the role vmdk-content.
func Write(ctx context.Context, m *diskmap.Map, f *os.File, o Options) error {
	if o.Subformat == StreamOptimized {
		return writeStream(ctx, m, &namedFile{f}, o)
	}
	file, err := Layout(ctx, m, o)
	if err != nil {
		return err
	}
	return block.WriteFile(ctx, file, m, f, o.Options)
}

// namedFile is a file whose errors name it as package raw's do.
type namedFile struct{ f *os.File }

func (n *namedFile) Write(p []byte) (int, error) {
	written, err := n.f.Write(p)
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = fmt.Errorf("%q: %w", n.f.Name(), pe.Err)
	}
	return written, err
}

// WriteStream writes an image to w, from front to back. Only StreamOptimized is
// made for that.
func WriteStream(ctx context.Context, m *diskmap.Map, w io.Writer, o Options) error {
	if o.Subformat != StreamOptimized {
		return fmt.Errorf("vmdk: a %s image cannot be written as a stream, a %s one can", o.Subformat, StreamOptimized)
	}
	return writeStream(ctx, m, w, o)
}

// diskSectors checks the size of a disk, and returns it in sectors.
func diskSectors(m *diskmap.Map) (int64, error) {
	if m.Size() <= 0 || m.Size() > MaxSize {
		return 0, fmt.Errorf("vmdk: a disk of %d bytes cannot be in an image, which holds a sector at least and %d bytes (62 TiB) at most", m.Size(), int64(MaxSize))
	}
	return block.DivideUp(m.Size(), sectorSize), nil
}

func errTooMuchData(sector int64) error {
	return fmt.Errorf("vmdk: the image would be longer than %d sectors (2 TiB), which is all that it can count; it has reached sector %d", int64(maxSectors), sector)
}

// maxSectors bounds the places in grain tables.
const maxSectors = 1 << 32
