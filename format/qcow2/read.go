package qcow2

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"diskwright/content"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

const (
	// sliceSize is how much of an L2 table is read at a time, for 32 MiB of a
	// disk in clusters of 64 KiB.
	sliceSize = 4 << 10
	// sliceCache and clusterCache are bytes of memory.
	sliceCache, clusterCache = 2 << 20, 4 << 20

	// maxWindow bounds the memory of zstd's decoder. QEMU's encoder needs no
	// more than 2 MiB.
	maxWindow = 8 << 20
)

// read fills p from the disk at off. Several goroutines may call it.
func (img *Image) read(p []byte, off int64) error {
	for len(p) > 0 {
		e, err := img.lookup(off)
		if err != nil {
			return img.wrap(off, err)
		}
		within := off & (img.clusterSize() - 1)
		n := int(min(int64(len(p)), img.clusterSize()-within))
		switch e.kind {
		case zero:
			clear(p[:n])
		case plain:
			if n, err = img.sideBySide(len(p), n, off, e); err == nil {
				err = img.readPlain(p[:n], e.offset+within)
			}
			img.clearAbsent(p[:n], within, e.absent)
		case compressed:
			err = img.readCompressed(p[:n], off, e)
		}
		if err != nil {
			return img.wrap(off, err)
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func (img *Image) wrap(off int64, err error) error {
	return fmt.Errorf("qcow2: reading the disk's byte %d: %w", off, err)
}

// lookup returns the entry of the cluster that has the byte off of the disk.
func (img *Image) lookup(off int64) (entry, error) {
	table := int64(img.l1[off/img.tableBytes()] & offsetMask)
	if table == 0 {
		return entry{}, nil
	}
	at := off % img.tableBytes() / img.clusterSize() * img.entrySize()
	size := min(sliceSize, img.clusterSize())
	first := table + at - at%size
	slice, ok := img.slices.get(first)
	if !ok {
		slice = make([]byte, size)
		if err := content.ReadFull(img.r, slice, first); err != nil {
			return entry{}, fmt.Errorf("L2 table at %d: %w", table, err)
		}
		img.slices.put(first, slice)
	}
	return img.parse(slice[at%size:][:img.entrySize()])
}

// sideBySide returns how many of at most limit bytes can be read at once: n are
// in the cluster of e, and more if those that follow lie behind it in the file.
func (img *Image) sideBySide(limit, n int, off int64, e entry) (int, error) {
	next := e.offset + img.clusterSize()
	for n < limit && !img.extended() {
		e, err := img.lookup(off + int64(n))
		if err != nil {
			return n, err
		}
		if e.kind != plain || e.offset != next {
			break
		}
		next += img.clusterSize()
		n += int(min(int64(limit-n), img.clusterSize()))
	}
	return n, nil
}

// readPlain reads from the file, whose last cluster may be cut.
func (img *Image) readPlain(p []byte, off int64) error {
	n := max(0, min(int64(len(p)), img.fileSize-off))
	clear(p[n:])
	return content.ReadFull(img.r, p[:n], off)
}

// clearAbsent clears those 32nds of a cluster that have no data; p begins at
// within of it.
func (img *Image) clearAbsent(p []byte, within int64, absent uint32) {
	size := img.clusterSize() / subclusters
	for i := int64(0); absent != 0 && i < subclusters; i++ {
		if absent&(1<<i) != 0 {
			from, to := max(0, i*size-within), min(int64(len(p)), (i+1)*size-within)
			if from < to {
				clear(p[from:to])
			}
		}
	}
}

// readCompressed reads a part of a compressed cluster.
func (img *Image) readCompressed(p []byte, off int64, e entry) error {
	within := off & (img.clusterSize() - 1)
	if int64(len(p)) == img.clusterSize() {
		return img.decompress(p, e)
	}
	number := off >> img.clusterBits
	whole, ok := img.clusters.get(number)
	if !ok {
		whole = make([]byte, img.clusterSize())
		if err := img.decompress(whole, e); err != nil {
			return err
		}
		img.clusters.put(number, whole)
	}
	copy(p, whole[within:])
	return nil
}

// decompress makes the whole cluster p.
func (img *Image) decompress(p []byte, e entry) error {
	stored := make([]byte, max(0, min(e.length, img.fileSize-e.offset)))
	if err := content.ReadFull(img.r, stored, e.offset); err != nil {
		return err
	}
	var err error
	if img.compression == Zstd {
		err = img.codecs.zstd(p, stored)
	} else {
		err = img.codecs.inflate(p, stored)
	}
	if err != nil {
		return fmt.Errorf("the compressed cluster at %d is damaged: %w", e.offset, err)
	}
	return nil
}

// decoders are kept for their memory. What follows a stream in its last sector
// belongs to the next one.
type decoders struct{ flates, zstds sync.Pool }

func (d *decoders) inflate(p, stored []byte) error {
	in := bytes.NewReader(stored)
	r, ok := d.flates.Get().(io.ReadCloser)
	if !ok {
		r = flate.NewReader(in)
	} else if err := r.(flate.Resetter).Reset(in, nil); err != nil {
		return err
	}
	_, err := io.ReadFull(r, p)
	d.flates.Put(r)
	return tooShort(err)
}

func (d *decoders) zstd(p, stored []byte) error {
	in := bytes.NewReader(stored)
	r, ok := d.zstds.Get().(*zstd.Decoder)
	var err error
	if !ok {
		r, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
	} else {
		err = r.Reset(in)
	}
	if err != nil {
		return err
	}
	_, err = io.ReadFull(r, p)
	d.zstds.Put(r)
	return tooShort(err)
}

func tooShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// cache holds the last values that were put into it.
type cache[K comparable, V any] struct {
	mu     sync.Mutex
	limit  int
	values map[K]V
	order  []K
	oldest int
}

func (c *cache[K, V]) get(k K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.values[k]
	return v, ok
}

func (c *cache[K, V]) put(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.values == nil {
		c.values = make(map[K]V)
	}
	if _, ok := c.values[k]; ok {
		return
	}
	if len(c.order) < c.limit {
		c.order = append(c.order, k)
	} else {
		delete(c.values, c.order[c.oldest])
		c.order[c.oldest] = k
		c.oldest = (c.oldest + 1) % c.limit
	}
	c.values[k] = v
}
