package vpc

import (
	"errors"
	"fmt"
	"io"
	"time"

	"diskwright/diskmap"
	"diskwright/format/block"

	"github.com/google/uuid"
)

// Image is a virtual hard disk that is being read: dynamic or fixed.
type Image struct {
	file     io.ReaderAt
	fileSize int64
	size     int64
	footer   *footer
	header   *header // nil for a fixed disk
}

// Open reads footer and header of an image of size bytes. r stays in use.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	i := &Image{file: r, fileSize: size}
	if err := i.open(); err != nil {
		return nil, fmt.Errorf("vpc: %w", err)
	}
	return i, nil
}

func (i *Image) open() (err error) {
	if i.footer, err = i.readFooter(); err != nil {
		return err
	}
	if i.size, err = i.footer.diskSize(); err != nil {
		return err
	}
	switch i.footer.diskType {
	case typeFixed:
		if have := i.fileSize - footerSize; have < i.size {
			return fmt.Errorf("a fixed disk of %d bytes, but the file has %d: %w", i.size, have, block.ErrTruncated)
		}
		return nil
	case typeDynamic, typeDifferencing:
		return i.openDynamic()
	}
	return fmt.Errorf("unknown disk type %d", i.footer.diskType)
}

// readFooter reads the footer, or its copy where that is damaged.
func (i *Image) readFooter() (*footer, error) {
	if i.fileSize < footerSize {
		return nil, errNoFooter
	}
	last, err := block.ReadAt(i.file, i.fileSize, i.fileSize-footerSize, footerSize, "footer")
	if err != nil {
		return nil, err
	}
	f, err := decodeFooter(last)
	if err == nil {
		return f, nil
	}
	first, readErr := block.ReadAt(i.file, i.fileSize, 0, footerSize, "footer's copy")
	if readErr != nil {
		return nil, readErr
	}
	// Only a file that was cut off ends with something else altogether.
	if _, copyErr := decodeFooter(first); copyErr == nil && errors.Is(err, errNoFooter) {
		return nil, fmt.Errorf("there is no footer at its end: %w", block.ErrTruncated)
	} else if copyErr == nil {
		return decodeFooter(first)
	}
	return nil, err
}

func (i *Image) openDynamic() error {
	off := i.footer.dataOffset
	if off > uint64(i.fileSize) {
		return fmt.Errorf("the dynamic disk header would be at %d: %w", off, block.ErrTruncated)
	}
	p, err := block.ReadAt(i.file, i.fileSize, int64(off), headerSize, "dynamic disk header")
	if err != nil {
		return err
	}
	if i.header, err = decodeHeader(p); err != nil {
		return err
	}
	h := i.header
	if i.footer.diskType == typeDifferencing || h.parent != uuid.Nil {
		return fmt.Errorf("it is a differencing disk, which has only what differs from its parent, %q; merge the two to read it", h.parentName)
	}
	if h.blockSize < 4<<10 || h.blockSize > 256<<20 || h.blockSize&(h.blockSize-1) != 0 {
		return fmt.Errorf("blocks of %d bytes; that must be a power of two from 4 KiB to 256 MiB", h.blockSize)
	}
	if need := block.DivideUp(i.size, int64(h.blockSize)); int64(h.entries) < need || need > maxEntries {
		return fmt.Errorf("a disk of %d bytes in %d blocks of %d bytes", i.size, h.entries, h.blockSize)
	}
	if h.tableOffset > uint64(i.fileSize) {
		return fmt.Errorf("the block allocation table would be at %d: %w", h.tableOffset, block.ErrTruncated)
	}
	return nil
}

// maxEntries bounds the time that a table takes to read.
const maxEntries = 64 << 20

// Size returns the size of the disk in bytes.
func (i *Image) Size() int64 { return i.size }

// Map returns the disk. It reads the block allocation table, and fails if that
// is not right.
func (i *Image) Map() (*diskmap.Map, error) {
	m, err := i.place()
	if err != nil {
		return nil, fmt.Errorf("vpc: %w", err)
	}
	return m, nil
}

func (i *Image) place() (*diskmap.Map, error) {
	p := block.NewPlacement(i.fileSize)
	if err := p.Reserve("footer", i.fileSize-footerSize, footerSize); err != nil {
		return nil, err
	}
	var err error
	if i.header == nil {
		err = p.Add(0, 0, i.size)
	} else {
		err = i.placeBlocks(p)
	}
	if err != nil {
		return nil, err
	}
	return p.Map(block.Source(i.file, i.fileSize), i.size)
}

// placeBlocks reads the table of a dynamic disk. The bitmaps are not looked at:
// a block is made of zeros, so that sectors that were never written are zeros
// in the file, too.
func (i *Image) placeBlocks(p *block.Placement) error {
	h := i.header
	blockSize := int64(h.blockSize)
	bitmap := block.DivideUp(blockSize/sectorSize/8, sectorSize) * sectorSize
	entries := block.DivideUp(i.size, blockSize)
	table := int64(h.tableOffset)
	for _, part := range []struct {
		what   string
		off, n int64
	}{
		{"footer's copy", 0, footerSize},
		{"dynamic disk header", int64(i.footer.dataOffset), headerSize},
		{"block allocation table", table, entries * entrySize},
	} {
		if err := p.Reserve(part.what, part.off, part.n); err != nil {
			return err
		}
	}
	return block.Table(i.file, i.fileSize, table, entries, entrySize, "block allocation table", func(index int64, entry []byte) error {
		sector := be.Uint32(entry)
		if sector == entryUnused {
			return nil
		}
		disk, at := index*blockSize, int64(sector)*sectorSize
		if err := p.Reserve("bitmap of a block", at, bitmap); err != nil {
			return err
		}
		return p.Add(disk, at+bitmap, min(blockSize, i.size-disk))
	})
}

// Fields returns what footer and header say.
func (i *Image) Fields() []block.Field {
	f, g := i.footer, i.footer.geometry
	kind := "fixed"
	if i.header != nil {
		kind = "dynamic"
	}
	fields := []block.Field{
		{Name: "subformat", Value: kind},
		{Name: "version", Value: fmt.Sprintf("%d.%d", f.version>>16, f.version&0xffff)},
		{Name: "creator", Value: f.creator},
		{Name: "created", Value: time.Unix(year2000+int64(f.timestamp), 0).UTC().Format(time.RFC3339)},
		{Name: "size", Value: int64(f.size)},
		{Name: "cylinders", Value: int64(g.cylinders)},
		{Name: "heads", Value: int64(g.heads)},
		{Name: "sectorsPerTrack", Value: int64(g.perTrack)},
		{Name: "uuid", Value: f.id.String()},
		{Name: "savedState", Value: f.savedState != 0},
	}
	if h := i.header; h != nil {
		fields = append(fields,
			block.Field{Name: "blockSize", Value: int64(h.blockSize)},
			block.Field{Name: "blocks", Value: int64(h.entries)})
	}
	return fields
}
