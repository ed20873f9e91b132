// Package vhdx reads and writes the virtual hard disks of Hyper-V, version 2
// (.vhdx).
//
// A dynamic disk is cut into blocks. Those that are not zero are stored, and
// the block allocation table (BAT) says where. Everything lies at multiples of
// 1 MiB:
//
//	0        file type identifier              64 KiB
//	64 KiB   header 1                          64 KiB   the one with the higher
//	128 KiB  header 2                          64 KiB   sequence number counts
//	192 KiB  region table, 256 KiB its copy    64 KiB each
//	1 MiB    log, empty                         1 MiB
//	2 MiB    metadata: table, and at 64 KiB in it the items
//	3 MiB    BAT: 64 bits for each block of the disk, and one for the sector
//	           bitmap behind each chunk of them, which only disks with a parent
//	           have
//	         blocks
//
//	disk   |0000|....|1111|2222|....|
//	file   |headers|log|metadata|BAT 0 - 1 2 -|0000|1111|2222|
//
// The regions, metadata and BAT, may lie elsewhere in other programs' images. If
// such an image was not closed, its log has changes of them that are not in
// their place yet; [Open] reads it as if they were, and leaves the file alone.
//
// All integers are little-endian; checksums are CRC-32C. Section numbers are
// those of Microsoft's [MS-VHDX].
package vhdx

import (
	"context"
	"fmt"
	"os"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/block"

	"github.com/google/uuid"
)

// Options of writing. The zero value is good.
type Options struct {
	block.Options
}

const (
	// MaxSize is the largest disk in bytes: 64 TiB (2.6.2.2).
	MaxSize = 64 << 40

	mib = 1 << 20

	// Everything is aligned to this, and as long as a multiple of it.
	alignment = mib

	sectorSize         = 512  // of the disk, logical
	physicalSectorSize = 4096 // what Hyper-V's own disks have

	// minBlockSize is also what Microsoft recommends for Linux, whose file
	// systems scatter their metadata.
	minBlockSize = 1 << 20
	maxBlockSize = 256 << 20

	// smallBlocks is how many blocks of the smallest size a disk may have: as
	// many as make a BAT of 32 MiB. A disk of more than 4 TiB has larger ones.
	smallBlocks = 4 << 20
)

// Where the parts of an image lie that is written here.
const (
	logOffset      = 1 * mib
	logLength      = 1 * mib
	metadataOffset = 2 * mib
	metadataLength = 1 * mib
	batOffset      = 3 * mib
)

// Write writes an image of the disk m to f, an empty regular file. A disk that
// ends within a sector is filled up with zeros. Identifiers are those of the
// roles vhdx-file-write, vhdx-data-write and vhdx-virtual-disk.
func Write(ctx context.Context, m *diskmap.Map, f *os.File, o Options) error {
	file, err := Layout(ctx, m, o)
	if err != nil {
		return err
	}
	return block.WriteFile(ctx, file, m, f, o.Options)
}

// Layout returns the image of the disk m as a map of its file.
func Layout(ctx context.Context, m *diskmap.Map, o Options) (*diskmap.Map, error) {
	if m.Size() <= 0 || m.Size() > MaxSize {
		return nil, fmt.Errorf("vhdx: a disk of %d bytes cannot be in an image, which holds a sector at least and %d bytes (64 TiB) at most", m.Size(), int64(MaxSize))
	}
	meta := metadata{
		blockSize:          blockSize(m.Size()),
		size:               block.DivideUp(m.Size(), sectorSize) * sectorSize,
		id:                 o.ID("vhdx-virtual-disk"),
		sectorSize:         sectorSize,
		physicalSectorSize: physicalSectorSize,
	}
	spans, err := block.Used(ctx, m, meta.blockSize, o.Workers)
	if err != nil {
		return nil, err
	}
	used := block.NewIndex(spans)
	bat := region{id: regionBAT, offset: batOffset, length: block.DivideUp(meta.batEntries()*batEntrySize, alignment) * alignment, required: true}
	data := bat.offset + bat.length
	regions := encodeRegions([]region{bat, {id: regionMetadata, offset: metadataOffset, length: metadataLength, required: true}})

	var b diskmap.Builder
	b.Place(0, content.Bytes(fileType()))
	for i, off := range headerOffsets {
		h := header{
			sequence:  uint64(i + 1),
			fileWrite: o.ID("vhdx-file-write"),
			dataWrite: o.ID("vhdx-data-write"),
			logOffset: logOffset,
			logLength: logLength,
		}
		b.Place(off, content.Bytes(h.encode()))
	}
	for _, off := range regionOffsets {
		b.Place(off, regions)
	}
	b.Place(metadataOffset, content.Bytes(meta.encode()))
	b.Place(bat.offset, blockTable(&meta, used, data))
	used.Store(&b, m, meta.blockSize, data)
	return b.Map(data + used.Count()*meta.blockSize)
}

// blockSize returns the size of blocks of a disk.
func blockSize(size int64) int64 {
	n := int64(minBlockSize)
	for block.DivideUp(size, n) > smallBlocks {
		n *= 2
	}
	return n
}

// blockTable is the BAT (2.5). What is not stored is said to be zeros: blocks
// that are only said not to be there "can contain arbitrary data".
func blockTable(meta *metadata, used *block.Index, data int64) content.Source {
	ratio := meta.chunkRatio()
	return block.Entries(meta.batEntries(), batEntrySize, func(p []byte, index int64) {
		chunk, i := index/(ratio+1), index%(ratio+1)
		if i == ratio {
			le.PutUint64(p, sectorBitmapNotPresent)
			return
		}
		entry := uint64(blockZero) // with no offset, or Hyper-V refuses the image
		if n, ok := used.Number(chunk*ratio + i); ok {
			entry = uint64(data+n*meta.blockSize) | blockFullyPresent
		}
		le.PutUint64(p, entry)
	})
}

const (
	batEntrySize  = 8
	batState      = 7        // mask
	batOffsetMask = -1 << 20 // in units of 1 MiB, in the upper 44 bits

	// 2.5.1.1
	blockNotPresent       = 0
	blockUndefined        = 1
	blockZero             = 2
	blockUnmapped         = 3
	blockUnmappedOld      = 5 // of drafts of the format
	blockFullyPresent     = 6
	blockPartiallyPresent = 7

	// 2.5.1.2
	sectorBitmapNotPresent = 0
)

// guid returns an identifier from its usual notation.
func guid(s string) uuid.UUID { return uuid.MustParse(s) }
