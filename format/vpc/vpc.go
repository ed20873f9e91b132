// Package vpc reads and writes the virtual hard disks (.vhd) of Virtual PC,
// Hyper-V, Azure and Xen, which qemu calls vpc.
//
// A dynamic disk is cut into blocks of 2 MiB. Those that are not zero are
// stored, each behind a sector whose bits say which of its sectors were
// written:
//
//	0       copy of the footer       512 bytes
//	512     dynamic disk header     1024 bytes
//	1536    block allocation table: 32 bits for each block of the disk, the
//	          sector of its bitmap, or 0xffffffff; up to a whole sector
//	        bitmap, block, bitmap, block, ...
//	end     footer                   512 bytes
//
//	disk   |0000|....|1111|2222|....|
//	file   |footer|header|table 0 - 1 2 -|b0000|b1111|b2222|footer|
//
// A fixed disk is the disk, and a footer behind it:
//
//	disk   |0000|....|1111|2222|....|
//	file   |0000|....|1111|2222|....|footer|
//
// All integers are big-endian. Section names are those of the "Virtual Hard
// Disk Image Format Specification", version 1.0, of Microsoft.
//
// # Sizes
//
// The footer holds the size twice: in bytes, and as a geometry of cylinders,
// heads and sectors, which cannot express every size. Virtual PC, and qemu for
// images of its kind, believe the geometry. So a disk grows to the next size
// that a geometry has, unless ForceSize says otherwise, and then the backup of
// a GUID partition table, which lies at the end of the disk that was asked for,
// is no longer at the end. [DiskSize] says in advance how large a disk gets.
package vpc

import (
	"context"
	"fmt"
	"io"
	"os"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/block"
)

// Subformat is a kind of virtual hard disk.
type Subformat int

const (
	// Dynamic holds blocks that are not zero.
	Dynamic Subformat = iota
	// Fixed holds all of the disk, which grows to a whole MiB and keeps that
	// size, as Azure demands.
	Fixed
)

// Options of writing. The zero value is good.
type Options struct {
	block.Options
	Subformat Subformat
	// ForceSize keeps the size of the disk, up to a sector. Virtual PC shows
	// such a disk as one of up to 127 GiB.
	ForceSize bool
}

const (
	// BlockSize is that of nearly all images.
	BlockSize = 2 << 20

	// MaxSize is the largest disk in bytes, 2040 GiB, which every program that
	// reads the format agrees on: sectors are counted in 32 bits.
	MaxSize = 0xff00_0000 * sectorSize

	sectorSize = 512
	mib        = 1 << 20
)

// DiskSize returns the size in bytes that a disk of size bytes has in an image.
// A disk that has it keeps it.
func DiskSize(size int64, o Options) (int64, error) {
	unit := int64(sectorSize)
	if o.Subformat == Fixed {
		unit = mib
	}
	if size <= 0 || size > MaxSize {
		return 0, fmt.Errorf("vpc: a disk of %d bytes cannot be in a virtual hard disk, which holds a sector at least and %d bytes (2040 GiB) at most", size, int64(MaxSize))
	}
	sectors := block.DivideUp(size, unit) * unit / sectorSize
	if !o.exact() {
		if g := geometryFor(sectors); g != maxGeometry {
			sectors = g.sectors()
		}
	}
	return sectors * sectorSize, nil
}

// exact reports whether the size is the one in bytes, not the geometry's.
func (o Options) exact() bool { return o.ForceSize || o.Subformat == Fixed }

// Write writes an image of the disk m to f, an empty regular file. The
// identifier is that of the role vpc-image.
func Write(ctx context.Context, m *diskmap.Map, f *os.File, o Options) error {
	file, err := Layout(ctx, m, o)
	if err != nil {
		return err
	}
	return block.WriteFile(ctx, file, m, f, o.Options)
}

// WriteStream writes the image to w. For a fixed disk that costs nothing in
// advance; for a dynamic one, the blocks that are not zero are looked for
// first.
func WriteStream(ctx context.Context, m *diskmap.Map, w io.Writer, o Options) error {
	file, err := Layout(ctx, m, o)
	if err != nil {
		return err
	}
	return block.WriteStream(ctx, file, m, w, o.Options)
}

// Layout returns the image of the disk m as a map of its file.
func Layout(ctx context.Context, m *diskmap.Map, o Options) (*diskmap.Map, error) {
	size, err := DiskSize(m.Size(), o)
	if err != nil {
		return nil, err
	}
	f := footer{
		features:   featureReserved,
		version:    version1,
		dataOffset: none,
		timestamp:  timestamp(o.Created()),
		creator:    creatorGeometry,
		creatorVer: creatorVersion,
		creatorOS:  creatorHost,
		original:   uint64(size),
		size:       uint64(size),
		geometry:   geometryFor(size / sectorSize),
		diskType:   typeFixed,
		id:         o.ID("vpc-image"),
	}
	if o.exact() {
		// A geometry that is as large as can be has readers use the size in
		// bytes, and so has, for some of qemu's versions, this creator.
		f.creator, f.geometry = creatorSize, maxGeometry
	}
	if o.Subformat == Fixed {
		var b diskmap.Builder
		b.Place(0, m)
		b.Place(size, content.Bytes(f.encode()))
		return b.Map(size + footerSize)
	}
	f.diskType, f.dataOffset = typeDynamic, footerSize
	spans, err := block.Used(ctx, m, BlockSize, o.Workers)
	if err != nil {
		return nil, err
	}
	return dynamic(m, block.NewIndex(spans), &f)
}

// stride is what a block takes in the file: its bitmap, and itself.
const stride = sectorSize + BlockSize

// dynamic lays out a dynamic disk of which some blocks are used.
func dynamic(m *diskmap.Map, used *block.Index, f *footer) (*diskmap.Map, error) {
	entries := block.DivideUp(int64(f.size), BlockSize)
	tableSize := block.DivideUp(entries*entrySize, sectorSize) * sectorSize
	data := int64(tableOffset + tableSize)
	end := data + used.Count()*stride
	h := header{tableOffset: tableOffset, entries: uint32(entries), blockSize: BlockSize}

	var b diskmap.Builder
	b.Place(0, content.Bytes(f.encode()))
	b.Place(footerSize, content.Bytes(h.encode()))
	b.Place(tableOffset, block.Entries(tableSize/entrySize, entrySize, func(p []byte, index int64) {
		entry := uint32(entryUnused) // also what fills the table's last sector
		if n, ok := used.Number(index); ok {
			entry = uint32((data + n*stride) / sectorSize)
		}
		be.PutUint32(p, entry)
	}))
	for n, at := range used.All() {
		off := data + n*stride
		b.Place(off, allWritten)
		block.Copy(&b, m, at*BlockSize, (at+1)*BlockSize, off+sectorSize)
	}
	b.Place(end, content.Bytes(f.encode()))
	return b.Map(end + footerSize)
}

// allWritten is the bitmap of a block of which every sector counts. Sectors of
// zeros count too: what a reader makes of the others differs.
var allWritten = func() content.Bytes {
	p := make([]byte, sectorSize)
	for i := range p {
		p[i] = 0xff
	}
	return p
}()
