package vdi

import (
	"fmt"
	"io"
	"strings"

	"diskwright/diskmap"
	"diskwright/format/block"
)

// maxBlocks bounds the time that a block map takes to read.
const maxBlocks = MaxSize / BlockSize

// Image is an image that is being read: dynamic or static.
type Image struct {
	file     io.ReaderAt
	fileSize int64
	header   *header
}

// Open reads the header of an image of size bytes. r stays in use.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	p, err := block.ReadAt(r, size, 0, headerEnd, "header")
	if err != nil {
		return nil, fmt.Errorf("vdi: %w", err)
	}
	h, err := decodeHeader(p)
	if err == nil {
		err = h.check()
	}
	if err != nil {
		return nil, fmt.Errorf("vdi: %w", err)
	}
	return &Image{file: r, fileSize: size, header: h}, nil
}

// Size returns the size of the disk in bytes.
func (i *Image) Size() int64 { return i.header.diskSize }

// Map returns the disk. It reads the block map, and fails if that is not right.
func (i *Image) Map() (*diskmap.Map, error) {
	m, err := i.place()
	if err != nil {
		return nil, fmt.Errorf("vdi: %w", err)
	}
	return m, nil
}

func (i *Image) place() (*diskmap.Map, error) {
	h := i.header
	blocks := block.DivideUp(h.diskSize, h.blockSize)
	p := block.NewPlacement(i.fileSize)
	if err := p.Reserve("header", 0, 72+headerSize); err != nil {
		return nil, err
	}
	if err := p.Reserve("block map", h.blockMap, blocks*entrySize); err != nil {
		return nil, err
	}
	err := block.Table(i.file, i.fileSize, h.blockMap, blocks, entrySize, "block map", func(index int64, entry []byte) error {
		n := le.Uint32(entry)
		if n == entryFree || n == entryZero {
			return nil
		}
		at := index * h.blockSize
		return p.Add(at, h.data+int64(n)*h.blockSize, min(h.blockSize, h.diskSize-at))
	})
	if err != nil {
		return nil, err
	}
	return p.Map(block.Source(i.file, i.fileSize), h.diskSize)
}

// Fields returns what the header says.
func (i *Image) Fields() []block.Field {
	h := i.header
	kind := "dynamic"
	if h.imageType == typeStatic {
		kind = "static"
	}
	return []block.Field{
		{Name: "version", Value: "1.1"},
		{Name: "subformat", Value: kind},
		{Name: "creator", Value: strings.TrimSpace(h.creator)},
		{Name: "comment", Value: h.comment},
		{Name: "blockSize", Value: h.blockSize},
		{Name: "blocks", Value: h.blocks},
		{Name: "blocksAllocated", Value: h.blocksAllocated},
		{Name: "blockMapOffset", Value: h.blockMap},
		{Name: "dataOffset", Value: h.data},
		{Name: "uuid", Value: h.image.String()},
		{Name: "snapshotUUID", Value: h.snapshot.String()},
	}
}
