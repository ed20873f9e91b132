package qcow2

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"diskwright/diskmap"
)

// kind is what an L2 entry says.
type kind int

const (
	zero kind = iota // not allocated, or said to be zeros
	plain
	compressed
)

// entry is an L2 entry, taken apart.
type entry struct {
	kind   kind
	offset int64  // in the file
	length int64  // of what is compressed, up to the end of its last sector
	absent uint32 // of a plain cluster with subclusters: those that read as zeros
}

const (
	offsetMask   = 0x00fffffffffffe00 // of L1 and L2 entries
	flagZero     = 1 << 0             // of L2 entries, since version 3
	reservedMask = 0x3f00000000000000 // of L2 entries of clusters that are not compressed
	subclusters  = 32
)

// parse takes apart the entry p.
func (h *header) parse(p []byte) (entry, error) {
	v := binary.BigEndian.Uint64(p)
	if v&flagCompressed != 0 {
		shift := 62 - (h.clusterBits - 8)
		offset := int64(v & (1<<shift - 1))
		sectors := int64(v&(flagCompressed-1)>>shift) + 1
		if h.extended() && binary.BigEndian.Uint64(p[8:]) != 0 {
			return entry{}, fmt.Errorf("a compressed cluster has subclusters")
		}
		return entry{kind: compressed, offset: offset, length: sectors*sectorSize - offset%sectorSize}, nil
	}
	e := entry{kind: plain, offset: int64(v & offsetMask)}
	if e.offset%h.clusterSize() != 0 || v&reservedMask != 0 {
		return e, fmt.Errorf("the L2 entry %#x is none", v)
	}
	if h.extended() {
		bitmap := binary.BigEndian.Uint64(p[8:])
		there, zeros := uint32(bitmap), uint32(bitmap>>32)
		if there&zeros != 0 || there != 0 && e.offset == 0 {
			return e, fmt.Errorf("the L2 entry %#x with subclusters %#x is none", v, bitmap)
		}
		if e.absent = ^there; there == 0 {
			e.kind = zero
		}
		return e, nil
	}
	if e.offset == 0 || h.version >= 3 && v&flagZero != 0 {
		e.kind = zero
	}
	return e, nil
}

// Map returns the disk. It reads all tables, and fails if what they say cannot
// be. Data is read when the map is.
func (img *Image) Map() (*diskmap.Map, error) {
	w := &walk{
		Image:  img,
		own:    newSpace(img.fileSize, sectorSize),
		shared: newSpace(img.fileSize, sectorSize),
	}
	if err := w.tables(); err != nil {
		return nil, fmt.Errorf("qcow2: %w", err)
	}
	m, err := w.runs.Map(img.size, img.read)
	if err != nil {
		return nil, fmt.Errorf("qcow2: %w", err)
	}
	return m, nil
}

// walk goes over the tables. What is in the file belongs to one thing only: one
// cluster of the file that were many of the disk would make a disk of any size
// of a small file. Compressed clusters may share the sectors in which they begin
// and end. What an image can pretend with tiny ones is limited by the entries
// that it needs, one for each cluster of the disk, in tables that are its own.
type walk struct {
	*Image
	own, shared *space
	runs        runs
}

func (w *walk) tables() error {
	if err := w.own.claim(0, min(w.clusterSize(), w.fileSize), "the header"); err != nil {
		return err
	}
	if err := w.own.claim(w.l1Offset, w.l1Entries*8, "the L1 table"); err != nil {
		return err
	}
	if err := w.own.claim(w.refcountTable, w.refcountBytes, "the refcount table"); err != nil {
		return err
	}
	table := make([]byte, w.clusterSize())
	for i, e := range w.l1 {
		offset := int64(e & offsetMask)
		if offset == 0 {
			continue
		}
		if err := w.table(table, int64(i), offset); err != nil {
			return err
		}
	}
	return nil
}

// table goes over one L2 table.
func (w *walk) table(table []byte, index, offset int64) error {
	what := fmt.Sprintf("the L2 table of the disk's byte %d", index*w.tableBytes())
	if offset%w.clusterSize() != 0 {
		return fmt.Errorf("%s is at %d, where no cluster begins", what, offset)
	}
	if err := w.own.claim(offset, int64(len(table)), what); err != nil {
		return err
	}
	if _, err := w.r.ReadAt(table, offset); err != nil {
		return fmt.Errorf("reading %s: %w", what, err)
	}
	for i := int64(0); i < int64(len(table))/w.entrySize(); i++ {
		at := index*w.tableBytes() + i*w.clusterSize()
		if at >= w.size {
			break
		}
		p := table[i*w.entrySize():][:w.entrySize()]
		if err := w.cluster(at, p); err != nil {
			return fmt.Errorf("the disk's byte %d: %w", at, err)
		}
	}
	return nil
}

// cluster looks at the entry of the cluster at a byte of the disk.
func (w *walk) cluster(at int64, p []byte) error {
	e, err := w.parse(p)
	if err != nil {
		return err
	}
	switch e.kind {
	case plain:
		// The last cluster of a file may have been cut by who made it, and with
		// subclusters behind the last of these that has data.
		n := w.clusterSize()
		data := n
		if w.extended() {
			data = int64(bits.Len32(^e.absent)) * (n / subclusters)
		}
		if end := min(at+data, w.size) - at + e.offset; end <= w.fileSize {
			n = min(n, w.fileSize-e.offset)
		}
		if err := w.own.claim(e.offset, n, "the cluster"); err != nil {
			return err
		}
		if w.shared.claimed(e.offset, n) {
			return fmt.Errorf("the cluster at %d overlaps a compressed one", e.offset)
		}
	case compressed:
		if err := w.compressed(e); err != nil {
			return err
		}
	}
	if e.kind != zero {
		w.runs.add(at, w.clusterSize())
	}
	return nil
}

func (w *walk) compressed(e entry) error {
	if e.offset >= w.fileSize {
		return fmt.Errorf("the compressed cluster at %d is not inside of the file, which has %d bytes; is it truncated?", e.offset, w.fileSize)
	}
	end := min(e.offset+e.length, w.fileSize)
	first, last := e.offset/sectorSize, (end-1)/sectorSize
	inner, n := (first+1)*sectorSize, max(0, last-first-1)*sectorSize
	if w.shared.claimed(inner, n) || w.own.claimed(first*sectorSize, 1) || w.own.claimed(last*sectorSize, 1) {
		return fmt.Errorf("the compressed cluster at %d overlaps something else", e.offset)
	}
	if err := w.own.claim(inner, n, "the compressed cluster"); err != nil {
		return err
	}
	if err := w.shared.share(e.offset, 1); err != nil {
		return err
	}
	return w.shared.share(end-1, 1)
}
