package qcow2

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"diskwright/diskmap"
	"diskwright/format/block"
)

// writeCompressed writes an image whose clusters are compressed where that makes
// them smaller. Tables are written as soon as nothing in them will change.
func writeCompressed(ctx context.Context, m *diskmap.Map, f *os.File, o Options) error {
	enc, err := newEncoder(o)
	if err != nil {
		return err
	}
	if fi, err := f.Stat(); err != nil {
		return err
	} else if !fi.Mode().IsRegular() || fi.Size() != 0 {
		return fmt.Errorf("qcow2: %q is not an empty regular file", f.Name())
	}
	g, err := newGeometry(m.Size(), touched(m))
	if err != nil {
		return err
	}
	p := newPacker(f, g)
	err = block.Write(ctx, m, f, block.Layout{
		Size: clusterSize,
		Encode: func(dst, src []byte) ([]byte, error) {
			return encodeCluster(enc, dst, src)
		},
		Place: p.place,
	}, o.Options)
	if err == nil {
		err = p.finish(o.Compression)
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = fmt.Errorf("%q: %w", f.Name(), pe.Err)
	}
	return err
}

// touched returns in how many clusters m has extents: as many at most are used.
func touched(m *diskmap.Map) int64 {
	n, next := int64(0), int64(0)
	for e := range m.Extents(0, m.Size()) {
		first, end := max(next, e.Offset/clusterSize), block.DivideUp(e.End(), clusterSize)
		if end > first {
			n += end - first
			next = end
		}
	}
	return n
}

// encodeCluster returns less than a cluster if it is compressed, or the whole.
// The last cluster of a disk may be short, but every reader wants it whole.
func encodeCluster(enc encoder, dst, src []byte) ([]byte, error) {
	whole := src
	if len(src) < clusterSize {
		whole = make([]byte, clusterSize)
		copy(whole, src)
	}
	p, err := enc.encode(dst, whole)
	if err != nil || len(p) < clusterSize {
		return p, err
	}
	return whole, nil
}

// packer places clusters one behind the other.
type packer struct {
	geometry
	f    *os.File
	next int64 // the first cluster that is not used
	free int64 // offset of the byte behind the last compressed cluster, or 0

	l1Table []int64
	table   int64  // index of the L2 table in l2, or -1
	l2      []byte // the table that is being filled

	refcount []int64          // clusters of the refcount blocks
	counts   map[int64][]byte // refcount blocks that may change
}

func newPacker(f *os.File, g geometry) *packer {
	p := &packer{
		geometry: g, f: f,
		l1Table: make([]int64, g.l1Entries),
		table:   -1,
		l2:      make([]byte, clusterSize),
		counts:  make(map[int64][]byte),
	}
	p.startRefcountBlock(g.refcountBlock)
	for p.next < g.data {
		p.count(p.next)
		p.next++
	}
	return p
}

func (p *packer) startRefcountBlock(at int64) {
	p.counts[int64(len(p.refcount))] = make([]byte, clusterSize)
	p.refcount = append(p.refcount, at)
}

// count counts one more use of a cluster of the file.
func (p *packer) count(cluster int64) {
	at := p.counts[cluster/refcountsInBlock][cluster%refcountsInBlock*2:]
	binary.BigEndian.PutUint16(at, binary.BigEndian.Uint16(at)+1)
}

// counted returns how often a cluster is used.
func (p *packer) counted(cluster int64) uint16 {
	return binary.BigEndian.Uint16(p.counts[cluster/refcountsInBlock][cluster%refcountsInBlock*2:])
}

// take takes a new cluster, not yet counted. In the first cluster that a refcount
// block counts lies that block.
func (p *packer) take() (int64, error) {
	if p.next%refcountsInBlock == 0 {
		if err := p.writeRefcounts(); err != nil {
			return 0, err
		}
		p.startRefcountBlock(p.next)
		p.count(p.next)
		p.next++
	}
	p.next++
	return p.next - 1, nil
}

// writeRefcounts writes the refcount blocks in which nothing will change:
// whoever comes next takes a new cluster, or the rest of the one that free is in.
func (p *packer) writeRefcounts() error {
	for i, counts := range p.counts {
		if end := (i + 1) * refcountsInBlock; end > p.next || end*clusterSize > p.free && p.free > i*refcountsInBlock*clusterSize {
			continue
		}
		if _, err := p.f.WriteAt(counts, p.refcount[i]*clusterSize); err != nil {
			return err
		}
		delete(p.counts, i)
	}
	return nil
}

// place implements [block.Layout].
func (p *packer) place(b block.Block) (int64, error) {
	if err := p.openTable(b.Index / entriesInTable); err != nil {
		return 0, err
	}
	entry := p.l2[b.Index%entriesInTable*8:]
	if len(b.Data) == clusterSize {
		at, err := p.take()
		if err != nil {
			return 0, err
		}
		p.count(at)
		binary.BigEndian.PutUint64(entry, uint64(at)*clusterSize|flagCopied)
		return at * clusterSize, nil
	}
	off, err := p.pack(int64(len(b.Data)))
	if err != nil {
		return 0, err
	}
	sectors := (off+int64(len(b.Data))-1)/sectorSize - off/sectorSize
	binary.BigEndian.PutUint64(entry, flagCompressed|uint64(sectors)<<csizeShift|uint64(off))
	return off, nil
}

// maxShared is how many compressed clusters may use one cluster of the file: as
// many as its refcount can count.
const maxShared = 1<<16 - 1

// pack returns the place of n compressed bytes: behind the ones before, where
// they may cross into a new cluster if that is the next one.
func (p *packer) pack(n int64) (int64, error) {
	last := (p.free - 1) / clusterSize // cluster of the byte before
	rest := block.DivideUp(p.free, clusterSize)*clusterSize - p.free
	if p.free == 0 || rest == 0 || rest < n || p.counted(last) == maxShared {
		at, err := p.take()
		if err != nil {
			return 0, err
		}
		// No cluster in between, and the one before can count one more.
		if p.free == 0 || rest == 0 || at != last+1 || p.counted(last) == maxShared {
			p.free = at * clusterSize
		}
	}
	off := p.free
	p.free += n
	for c := off / clusterSize; c <= (p.free-1)/clusterSize; c++ {
		p.count(c)
	}
	p.free = block.DivideUp(p.free, packing) * packing
	return off, nil
}

// openTable makes l2 that table, and writes the one before, which is complete.
func (p *packer) openTable(index int64) error {
	if index == p.table {
		return nil
	}
	if err := p.closeTable(); err != nil {
		return err
	}
	at, err := p.take()
	if err != nil {
		return err
	}
	p.count(at)
	p.table, p.l1Table[index] = index, at
	clear(p.l2)
	return nil
}

func (p *packer) closeTable() error {
	if p.table < 0 {
		return nil
	}
	_, err := p.f.WriteAt(p.l2, p.l1Table[p.table]*clusterSize)
	return err
}

// finish writes the remaining tables and the header.
func (p *packer) finish(c Compression) error {
	if err := p.closeTable(); err != nil {
		return err
	}
	for i, counts := range p.counts {
		if _, err := p.f.WriteAt(counts, p.refcount[i]*clusterSize); err != nil {
			return err
		}
	}
	l := layout{refcount: p.refcount}
	for _, part := range []struct {
		at int64
		p  []byte
	}{
		{p.l1, l1Bytes(p.l1Table)},
		{1, l.refcountTable()},
		{0, p.header(c)},
	} {
		if _, err := p.f.WriteAt(part.p, part.at*clusterSize); err != nil {
			return err
		}
	}
	return p.f.Truncate(p.next * clusterSize)
}
