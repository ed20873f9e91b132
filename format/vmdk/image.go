package vmdk

import (
	"errors"
	"fmt"
	"io"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/block"
)

// Image is an image that is being read: of one file, sparse or compressed.
type Image struct {
	file        io.ReaderAt
	fileSize    int64
	header      *header
	description *description
	directory   []uint32
	cache       grainCache
}

// Open reads header, descriptor and grain directory of an image of size bytes.
// r stays in use.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	i := &Image{file: r, fileSize: size}
	if err := i.open(); err != nil {
		return nil, fmt.Errorf("vmdk: %w", err)
	}
	return i, nil
}

const (
	maxDescriptor = 1 << 20

	// Signatures of what VMware's ESX makes, which nobody ships.
	cowdMagic   = "COWD"
	sparseMagic = "\xbe\xba\xfe\xca\x00\x00\x00\x00"
)

func (i *Image) open() error {
	start, err := block.ReadAt(i.file, i.fileSize, 0, int(min(i.fileSize, sectorSize)), "header")
	if err != nil {
		return err
	}
	switch {
	case isDescriptor(start):
		return i.refuseDescriptor()
	case len(start) > len(sparseMagic) && (string(start[:4]) == cowdMagic || string(start[:8]) == sparseMagic):
		return errors.New("it is a sparse extent of ESX, a part of a disk that another file describes; \"qemu-img convert\" of that one makes one file")
	case len(start) < sectorSize:
		return fmt.Errorf("header: the file has %d bytes: %w", i.fileSize, block.ErrTruncated)
	}
	if i.header, err = decodeHeader(start); err != nil {
		return err
	}
	if err := i.readDescriptor(); err != nil {
		return err
	}
	if i.header.directory == directoryAtEnd {
		if err := i.readFooter(); err != nil {
			return err
		}
	}
	if err := i.header.check(i.fileSize); err != nil {
		return err
	}
	return i.readDirectory()
}

// refuseDescriptor says which disk it is that a text describes.
func (i *Image) refuseDescriptor() error {
	p, err := block.ReadAt(i.file, i.fileSize, 0, int(min(i.fileSize, maxDescriptor)), "descriptor")
	if err != nil {
		return err
	}
	d := decodeDescriptor(p)
	if err := d.check(); err != nil {
		return err
	}
	return fmt.Errorf("it only describes a disk, whose data lies in other files (%q); \"qemu-img convert -O vmdk\" makes one file of them", d.extents)
}

// readDescriptor reads the descriptor inside of the image.
func (i *Image) readDescriptor() error {
	h := i.header
	if h.descriptor == 0 || h.descriptorSize == 0 {
		i.description = new(description)
		return i.description.check()
	}
	if h.descriptorSize > maxDescriptor/sectorSize || h.descriptor > uint64(i.fileSize)/sectorSize {
		return fmt.Errorf("descriptor: %d sectors at sector %d: %w", h.descriptorSize, h.descriptor, block.ErrTruncated)
	}
	p, err := block.ReadAt(i.file, i.fileSize, int64(h.descriptor)*sectorSize, int(h.descriptorSize)*sectorSize, "descriptor")
	if err != nil {
		return err
	}
	i.description = decodeDescriptor(p)
	return i.description.check()
}

// readFooter replaces the header of a stream by its footer, which is three
// sectors in front of the end: marker, footer, end-of-stream marker.
func (i *Image) readFooter() error {
	p, err := block.ReadAt(i.file, i.fileSize, i.fileSize-3*sectorSize, 3*sectorSize, "footer")
	if err != nil {
		return err
	}
	marker, footer, end := p[:sectorSize], p[sectorSize:2*sectorSize], p[2*sectorSize:]
	if le.Uint32(marker[8:]) != 0 || le.Uint32(marker[12:]) != markerFooter || !block.IsZero(end[:16]) {
		return fmt.Errorf("there is no footer at its end: %w", block.ErrTruncated)
	}
	i.header, err = decodeHeader(footer)
	return err
}

// readDirectory reads the places of the grain tables.
func (i *Image) readDirectory() error {
	h := i.header
	i.directory = make([]uint32, 0, min(h.tables(), i.fileSize/entrySize))
	return block.Table(i.file, i.fileSize, int64(h.directory)*sectorSize, h.tables(), entrySize, "grain directory", func(_ int64, e []byte) error {
		i.directory = append(i.directory, le.Uint32(e))
		return nil
	})
}

// Size returns the size of the disk in bytes.
func (i *Image) Size() int64 { return int64(i.header.capacity) * sectorSize }

// grainSize returns the size of a grain in bytes.
func (i *Image) grainSize() int64 { return int64(i.header.grainSize) * sectorSize }

// Map returns the disk. It reads all grain tables, and fails if they are not
// right.
func (i *Image) Map() (*diskmap.Map, error) {
	place := i.placeSparse
	if i.header.compressed() {
		place = i.placeCompressed
	}
	m, err := place()
	if err != nil {
		return nil, fmt.Errorf("vmdk: %w", err)
	}
	return m, nil
}

// placement returns what is in the file beside grains: the tables that count,
// not their redundant copies. They are checked before any of them is read.
func (i *Image) placement() (*block.Placement, error) {
	h := i.header
	p := block.NewPlacement(i.fileSize)
	if err := p.Reserve("header", 0, sectorSize); err != nil {
		return nil, err
	}
	if err := p.Reserve("grain directory", int64(h.directory)*sectorSize, int64(len(i.directory))*entrySize); err != nil {
		return nil, err
	}
	for _, table := range i.directory {
		if table == 0 {
			continue
		}
		if err := p.Reserve("grain table", int64(table)*sectorSize, int64(h.tableEntries)*entrySize); err != nil {
			return nil, err
		}
	}
	return p, p.Check()
}

// grains calls each for all grains that have a place: the number of the grain
// and its sector.
func (i *Image) grains(each func(grain, sector int64) error) error {
	h := i.header
	zeroGrain := h.flags&flagZeroGrain != 0
	all := block.DivideUp(int64(h.capacity), int64(h.grainSize))
	for n, table := range i.directory {
		if table == 0 {
			continue
		}
		first := int64(n) * int64(h.tableEntries)
		count := min(int64(h.tableEntries), all-first)
		err := block.Table(i.file, i.fileSize, int64(table)*sectorSize, count, entrySize, "grain table", func(index int64, e []byte) error {
			sector := le.Uint32(e)
			if sector == 0 || sector == 1 && zeroGrain {
				return nil
			}
			return each(first+index, int64(sector))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// placeSparse makes the disk of grains as they are.
func (i *Image) placeSparse() (*diskmap.Map, error) {
	p, err := i.placement()
	if err != nil {
		return nil, err
	}
	size := i.grainSize()
	err = i.grains(func(grain, sector int64) error {
		return p.Add(grain*size, sector*sectorSize, min(size, i.Size()-grain*size))
	})
	if err != nil {
		return nil, err
	}
	return p.Map(block.Source(i.file, i.fileSize), i.Size())
}

// placeCompressed makes the disk of grains that are read when they are needed.
func (i *Image) placeCompressed() (*diskmap.Map, error) {
	p, err := i.placement()
	if err != nil {
		return nil, err
	}
	var b diskmap.Builder
	var from, to int64 // grains of the run that is being collected
	flush := func() {
		if off, n := from*i.grainSize(), min(to*i.grainSize(), i.Size())-from*i.grainSize(); n > 0 {
			b.Place(off, &content.Generated{Length: n, Fill: func(p []byte, at int64) error { return i.read(p, off+at) }})
		}
	}
	runs := 0
	err = i.grains(func(grain, sector int64) error {
		length, err := i.grainLength(grain, sector)
		if err != nil {
			return err
		}
		if err := p.Reserve("compressed grain", sector*sectorSize, block.DivideUp(grainHeader+length, sectorSize)*sectorSize); err != nil {
			return err
		}
		if grain != to || to == 0 {
			if runs++; runs > block.MaxSpans {
				return fmt.Errorf("the disk is in more than %d pieces", block.MaxSpans)
			}
			flush()
			from = grain
		}
		to = grain + 1
		return nil
	})
	if err != nil {
		return nil, err
	}
	flush()
	if err := p.Check(); err != nil {
		return nil, err
	}
	return b.Map(i.Size())
}

// Fields returns what header and descriptor say.
func (i *Image) Fields() []block.Field {
	h, d := i.header, i.description
	return []block.Field{
		{Name: "subformat", Value: d.createType},
		{Name: "version", Value: int64(h.version)},
		{Name: "grainSize", Value: i.grainSize()},
		{Name: "compressed", Value: h.compressed()},
		{Name: "contentID", Value: d.contentID},
		{Name: "adapterType", Value: d.adapter},
		{Name: "hardwareVersion", Value: d.hardware},
		{Name: "uncleanShutdown", Value: h.unclean},
	}
}
