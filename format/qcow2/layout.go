package qcow2

import (
	"context"
	"encoding/binary"
	"sort"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/block"
)

// Layout returns the file of an image of m, without compression, as a disk map:
// its tables, and between them what m is made of. It reads of m what it takes to
// know which clusters are all zeros.
func Layout(ctx context.Context, m *diskmap.Map, o Options) (*diskmap.Map, error) {
	spans, err := block.Used(ctx, m, clusterSize, o.Workers)
	if err != nil {
		return nil, err
	}
	l, err := newLayout(m.Size(), spans)
	if err != nil {
		return nil, err
	}
	return l.file(m)
}

// layout is where everything lies in the file.
type layout struct {
	geometry
	pieces   []piece // of data, in the order of the disk and of the file
	l1Table  []int64 // clusters of the L2 tables, 0 where there is none
	refcount []int64 // clusters of the refcount blocks
	next     int64   // the first cluster that is not used
}

// piece is a run of clusters of the disk that lie side by side in the file.
type piece struct{ first, count, at int64 }

func newLayout(size int64, spans []block.Span) (*layout, error) {
	used := int64(0)
	for _, s := range spans {
		used += s.Count
	}
	g, err := newGeometry(size, used)
	if err != nil {
		return nil, err
	}
	l := &layout{geometry: g, l1Table: make([]int64, g.l1Entries), refcount: []int64{g.refcountBlock}, next: g.data}
	for _, s := range spans {
		l.placeSpan(s)
	}
	return l, nil
}

// placeSpan gives clusters of the file to those of the disk.
func (l *layout) placeSpan(s block.Span) {
	for s.Count > 0 {
		table := s.First / entriesInTable
		if l.l1Table[table] == 0 {
			l.l1Table[table], _ = l.take(1)
		}
		at, n := l.take(min(s.Count, (table+1)*entriesInTable-s.First))
		if last := len(l.pieces) - 1; last >= 0 && l.pieces[last].first+l.pieces[last].count == s.First && l.pieces[last].at+l.pieces[last].count == at {
			l.pieces[last].count += n
		} else {
			l.pieces = append(l.pieces, piece{s.First, n, at})
		}
		s.First, s.Count = s.First+n, s.Count-n
	}
}

// take takes at most n clusters that lie side by side. In front of the first
// cluster that a refcount block counts lies that block.
func (l *layout) take(n int64) (at, count int64) {
	if l.next%refcountsInBlock == 0 {
		l.refcount = append(l.refcount, l.next)
		l.next++
	}
	at = l.next
	count = min(n, refcountsInBlock-at%refcountsInBlock)
	l.next += count
	return at, count
}

// file returns the map of the file.
func (l *layout) file(m *diskmap.Map) (*diskmap.Map, error) {
	var b diskmap.Builder
	b.Reserve(len(l.pieces) + len(l.refcount))
	b.Place(0, content.Bytes(l.header(None)))
	b.Place(clusterSize, content.Bytes(l.refcountTable()))
	b.Place(l.l1*clusterSize, content.Bytes(l.l1Bytes()))
	for i, at := range l.refcount {
		b.Place(at*clusterSize, l.refcountBlockOf(int64(i)))
	}
	for i, at := range l.l1Table {
		if at != 0 {
			b.Place(at*clusterSize, l.l2Table(int64(i)))
		}
	}
	for _, p := range l.pieces {
		block.Copy(&b, m, p.first*clusterSize, (p.first+p.count)*clusterSize, p.at*clusterSize)
	}
	return b.Map(l.next * clusterSize)
}

func (l *layout) refcountTable() []byte {
	p := make([]byte, 0, 8*len(l.refcount))
	for _, at := range l.refcount {
		p = binary.BigEndian.AppendUint64(p, uint64(at)*clusterSize)
	}
	return p
}

func (l *layout) l1Bytes() []byte { return l1Bytes(l.l1Table) }

func l1Bytes(tables []int64) []byte {
	p := make([]byte, 8*len(tables))
	for i, at := range tables {
		if at != 0 {
			binary.BigEndian.PutUint64(p[8*i:], uint64(at)*clusterSize|flagCopied)
		}
	}
	return p
}

// refcountBlockOf counts one for every cluster of the file that there is.
func (l *layout) refcountBlockOf(index int64) content.Source {
	n := min(refcountsInBlock, l.next-index*refcountsInBlock)
	return block.Entries(n, 2, func(p []byte, _ int64) { p[0], p[1] = 0, 1 })
}

// l2Table is the table for the index-th 512 MiB of the disk.
func (l *layout) l2Table(index int64) content.Source {
	first := index * entriesInTable
	return &content.Generated{Length: clusterSize, Fill: func(p []byte, off int64) error {
		from, to := first+off/8, first+(off+int64(len(p))+7)/8
		table := make([]byte, (to-from)*8)
		i := sort.Search(len(l.pieces), func(i int) bool { return l.pieces[i].first+l.pieces[i].count > from })
		for ; i < len(l.pieces) && l.pieces[i].first < to; i++ {
			x := l.pieces[i]
			for c := max(from, x.first); c < min(to, x.first+x.count); c++ {
				binary.BigEndian.PutUint64(table[(c-from)*8:], uint64(x.at+c-x.first)*clusterSize|flagCopied)
			}
		}
		copy(p, table[off%8:])
		return nil
	}}
}
