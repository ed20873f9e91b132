// Package vdi reads and writes the disk images of VirtualBox.
//
// The disk is cut into blocks of 1 MiB. A dynamic image holds those that are
// not zero, in any order, and its block map says where:
//
//	0      pre-header: text, signature, version         72 bytes
//	72     header: type, offsets, disk size, UUIDs     384 bytes
//	512    block map: 32 bits for each block of the disk,
//	         the number of its block in the data area, or
//	         0xffffffff  not there: zeros, or the parent's
//	         0xfffffffe  zeros
//	data   block 0, block 1, ...
//
//	disk   |0000|....|1111|2222|....|3333|
//	file   |header|map 0 - 1 2 - 3|     |0000|1111|2222|3333|
//	                                   1 MiB
//
// Images that are written here have their data at a multiple of 1 MiB, as
// VirtualBox's own have: a block of the disk is then a block of the host's file
// system. (qemu-img puts data right behind the map, at a multiple of 512.)
//
// All integers are little-endian. Names are those of VirtualBox's VDICore.h,
// version 1.1 of the format, the only one in use.
package vdi

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
	// BlockSize is that of all images that VirtualBox and qemu-img make; the
	// latter reads no other.
	BlockSize = 1 << 20

	// MaxSize is the largest disk, in bytes: 64 TiB. The format could do more,
	// but its map would take 256 MiB already, and VirtualBox holds it in memory.
	MaxSize = 64 << 40

	sectorSize = 512
)

// Write writes an image of the disk m to f, an empty regular file. A disk that
// ends within a sector is filled up with zeros. Identifiers are those of the
// roles vdi-image and vdi-snapshot.
func Write(ctx context.Context, m *diskmap.Map, f *os.File, o Options) error {
	file, err := Layout(ctx, m, o)
	if err != nil {
		return err
	}
	return block.WriteFile(ctx, file, m, f, o.Options)
}

// Layout returns the image of the disk m as a map of its file.
func Layout(ctx context.Context, m *diskmap.Map, o Options) (*diskmap.Map, error) {
	if m.Size() > MaxSize {
		return nil, fmt.Errorf("vdi: a disk of %d bytes is more than the %d that an image can hold", m.Size(), int64(MaxSize))
	}
	spans, err := block.Used(ctx, m, BlockSize, o.Workers)
	if err != nil {
		return nil, err
	}
	used := block.NewIndex(spans)
	blocks := block.DivideUp(m.Size(), BlockSize)
	h := header{
		imageType:       typeDynamic,
		blockMap:        headerEnd,
		data:            block.DivideUp(headerEnd+blocks*entrySize, BlockSize) * BlockSize,
		diskSize:        block.DivideUp(m.Size(), sectorSize) * sectorSize,
		blockSize:       BlockSize,
		blocks:          blocks,
		blocksAllocated: used.Count(),
		image:           identifier(o, "vdi-image"),
		snapshot:        identifier(o, "vdi-snapshot"),
	}
	var b diskmap.Builder
	b.Place(0, content.Bytes(h.encode()))
	b.Place(h.blockMap, blockMap(used, blocks))
	used.Store(&b, m, BlockSize, h.data)
	return b.Map(h.data + used.Count()*BlockSize)
}

// identifier returns the UUID for a role. If the caller has none it is a
// constant: VirtualBox refuses images in which it is zero.
func identifier(o Options, role string) uuid.UUID {
	if id := o.ID(role); id != uuid.Nil {
		return id
	}
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("diskwright:"+role))
}

// blockMap says for each block of the disk which block of the data it is.
func blockMap(used *block.Index, blocks int64) content.Source {
	return block.Entries(blocks, entrySize, func(p []byte, index int64) {
		entry := uint32(entryFree)
		if n, ok := used.Number(index); ok {
			entry = uint32(n)
		}
		le.PutUint32(p, entry)
	})
}
