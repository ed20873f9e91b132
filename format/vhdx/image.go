package vhdx

import (
	"errors"
	"fmt"
	"io"

	"diskwright/diskmap"
	"diskwright/format/block"

	"github.com/google/uuid"
)

// Image is a virtual hard disk that is being read: dynamic or fixed.
type Image struct {
	file     io.ReaderAt
	fileSize int64
	creator  string
	header   *header
	regions  []region
	bat      region
	metadata *metadata
}

// Open reads headers, region table and metadata of an image of size bytes. r
// stays in use.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	i := &Image{file: r, fileSize: size}
	if err := i.open(); err != nil {
		return nil, fmt.Errorf("vhdx: %w", err)
	}
	return i, nil
}

const creatorSize = 512

func (i *Image) open() error {
	p, err := block.ReadAt(i.file, i.fileSize, 0, len(fileSignature)+creatorSize, "file type identifier")
	if err != nil {
		return err
	}
	if !isImage(p) {
		return errors.New("not an image of Hyper-V: the signature is wrong")
	}
	i.creator = decodeCreator(p[len(fileSignature):])
	if i.header, err = readHeader(i.file, i.fileSize); err != nil {
		return err
	}
	if i.header.log != uuid.Nil {
		// It was not closed, or is in use. The file stays as it is.
		if i.file, i.fileSize, err = replay(i.file, i.fileSize, i.header); err != nil {
			return err
		}
	}
	if i.regions, err = readRegions(i.file, i.fileSize); err != nil {
		return err
	}
	var meta region
	for _, r := range i.regions {
		known := map[uuid.UUID]*region{regionBAT: &i.bat, regionMetadata: &meta}[r.id]
		switch {
		case known == nil && r.required:
			return fmt.Errorf("it cannot be read without understanding its region %s", r.id)
		case known == nil:
		case known.length != 0:
			return fmt.Errorf("there are two regions %s", r.id)
		default:
			*known = r
		}
	}
	if i.bat.length == 0 || meta.length == 0 {
		return errors.New("the region table has no BAT, or no metadata")
	}
	if i.metadata, err = readMetadata(i.file, i.fileSize, meta); err != nil {
		return err
	}
	if n := i.metadata.batEntries(); n > i.bat.length/batEntrySize {
		return fmt.Errorf("a disk of %d bytes needs %d entries in its BAT, which has %d", i.metadata.size, n, i.bat.length/batEntrySize)
	}
	return nil
}

// Size returns the size of the disk in bytes.
func (i *Image) Size() int64 { return i.metadata.size }

// Map returns the disk. It reads the BAT, and fails if that is not right.
func (i *Image) Map() (*diskmap.Map, error) {
	m, err := i.place()
	if err != nil {
		return nil, fmt.Errorf("vhdx: %w", err)
	}
	return m, nil
}

func (i *Image) place() (*diskmap.Map, error) {
	p := block.NewPlacement(i.fileSize)
	if err := p.Reserve("header section", 0, alignment); err != nil {
		return nil, err
	}
	if err := p.Reserve("log", i.header.logOffset, i.header.logLength); err != nil {
		return nil, err
	}
	for _, r := range i.regions {
		if err := p.Reserve("region "+r.id.String(), r.offset, r.length); err != nil {
			return nil, err
		}
	}
	m := i.metadata
	ratio := m.chunkRatio()
	err := block.Table(i.file, i.fileSize, i.bat.offset, m.batEntries(), batEntrySize, "BAT", func(index int64, e []byte) error {
		chunk, n := index/(ratio+1), index%(ratio+1)
		if n == ratio {
			return nil // a sector bitmap, which disks without a parent do not have
		}
		entry := le.Uint64(e)
		disk := (chunk*ratio + n) * m.blockSize
		switch state := entry & batState; state {
		case blockNotPresent, blockUndefined, blockZero, blockUnmapped, blockUnmappedOld:
			return nil
		case blockFullyPresent:
			return p.Add(disk, int64(entry)&batOffsetMask, min(m.blockSize, m.size-disk))
		default:
			return fmt.Errorf("the block of the disk's byte %d has the state %d, which a disk without a parent cannot have", disk, state)
		}
	})
	if err != nil {
		return nil, err
	}
	return p.Map(block.Source(i.file, i.fileSize), m.size)
}

// Fields returns what the header and metadata say.
func (i *Image) Fields() []block.Field {
	m, h := i.metadata, i.header
	kind := "dynamic"
	if m.fixed {
		kind = "fixed"
	}
	return []block.Field{
		{Name: "subformat", Value: kind},
		{Name: "creator", Value: i.creator},
		{Name: "blockSize", Value: m.blockSize},
		{Name: "logicalSectorSize", Value: m.sectorSize},
		{Name: "physicalSectorSize", Value: m.physicalSectorSize},
		{Name: "virtualDiskID", Value: m.id.String()},
		{Name: "fileWriteGUID", Value: h.fileWrite.String()},
		{Name: "dataWriteGUID", Value: h.dataWrite.String()},
		{Name: "logReplayed", Value: h.log != uuid.Nil},
		{Name: "batOffset", Value: i.bat.offset},
		{Name: "batLength", Value: i.bat.length},
	}
}
