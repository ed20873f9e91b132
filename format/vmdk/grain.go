package vmdk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"diskwright/format/block"

	"github.com/klauspost/compress/zlib"
)

// maxCompressed is how long a compressed grain may be: what does not shrink
// grows by little.
func (i *Image) maxCompressed() int64 { return i.grainSize() + i.grainSize()/8 + 64 }

// grainLength reads the header of a compressed grain and returns how long its
// stream is.
func (i *Image) grainLength(grain, sector int64) (int64, error) {
	p, err := block.ReadAt(i.file, i.fileSize, sector*sectorSize, grainHeader, "compressed grain")
	if err != nil {
		return 0, err
	}
	if lba, want := le.Uint64(p), uint64(grain)*i.header.grainSize; lba != want {
		return 0, fmt.Errorf("the grain at sector %d says that it is sector %d of the disk, not %d", sector, lba, want)
	}
	n := int64(le.Uint32(p[8:]))
	if n == 0 || n > i.maxCompressed() {
		return 0, fmt.Errorf("the grain at sector %d has %d compressed bytes, for %d", sector, n, i.grainSize())
	}
	return n, nil
}

// read fills p with what is at off of the disk, from compressed grains only.
func (i *Image) read(p []byte, off int64) error {
	size := i.grainSize()
	for len(p) > 0 {
		grain, within := off/size, off%size
		n := int(min(int64(len(p)), size-within))
		err := i.readGrain(p[:n], grain, within)
		if err != nil {
			return fmt.Errorf("vmdk: reading the disk's byte %d: %w", off, err)
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// readGrain fills p with what is at within of a grain. Grains of which only a
// part is wanted are kept for the next time.
func (i *Image) readGrain(p []byte, grain, within int64) error {
	if int64(len(p)) == i.grainSize() {
		return i.decompress(p, grain)
	}
	return i.cache.read(p, grain, within, func() ([]byte, error) {
		all := make([]byte, i.grainSize())
		return all, i.decompress(all, grain)
	})
}

var errNotWhole = errors.New("its stream does not have a whole grain")

// decompress fills p, the whole of a grain.
func (i *Image) decompress(p []byte, grain int64) error {
	h := i.header
	table := i.directory[grain/int64(h.tableEntries)]
	entry, err := block.ReadAt(i.file, i.fileSize, int64(table)*sectorSize+grain%int64(h.tableEntries)*entrySize, entrySize, "grain table")
	if err != nil {
		return err
	}
	sector := int64(le.Uint32(entry))
	n, err := i.grainLength(grain, sector)
	if err != nil {
		return err
	}
	compressed, err := block.ReadAt(i.file, i.fileSize, sector*sectorSize+grainHeader, int(n), "compressed grain")
	if err != nil {
		return err
	}
	z, err := newReader(compressed)
	if err != nil {
		return fmt.Errorf("the grain at sector %d: %w", sector, err)
	}
	defer readers.Put(z)
	// The disk's last grain may be short.
	want := min(i.grainSize(), i.Size()-grain*i.grainSize())
	got, err := io.ReadFull(z, p)
	switch {
	case err == io.ErrUnexpectedEOF && int64(got) >= want:
		clear(p[got:])
		return nil
	case err == io.ErrUnexpectedEOF || err == io.EOF:
		err = errNotWhole
	case err == nil:
		// The rest is nothing, but its checksum.
		var more [1]byte
		if _, err = io.ReadFull(z, more[:]); err == io.EOF {
			return nil
		} else if err == nil {
			err = errNotWhole
		}
	}
	return fmt.Errorf("the grain at sector %d: %w", sector, err)
}

// readers are decompressors, which are expensive to make.
var readers sync.Pool // of io.ReadCloser that are zlib.Resetter

func newReader(p []byte) (io.ReadCloser, error) {
	if z, ok := readers.Get().(io.ReadCloser); ok {
		return z, z.(zlib.Resetter).Reset(bytes.NewReader(p), nil)
	}
	return zlib.NewReader(bytes.NewReader(p))
}

// grainCache keeps the grains that were read last.
type grainCache struct {
	mu    sync.Mutex
	slots [16]struct {
		grain int64
		data  []byte // nil: empty
	}
	next int
}

// read fills p from what is at within of a grain, which load returns if it is
// not there.
func (c *grainCache) read(p []byte, grain, within int64, load func() ([]byte, error)) error {
	c.mu.Lock()
	for i := range c.slots {
		if s := &c.slots[i]; s.data != nil && s.grain == grain {
			copy(p, s.data[within:])
			c.mu.Unlock()
			return nil
		}
	}
	c.mu.Unlock()
	data, err := load()
	if err != nil {
		return err
	}
	copy(p, data[within:])
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.slots[c.next]
	s.grain, s.data = grain, data
	c.next = (c.next + 1) % len(c.slots)
	return nil
}
