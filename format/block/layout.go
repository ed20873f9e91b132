package block

import (
	"context"
	"io"
	"iter"
	"os"
	"slices"
	"sync/atomic"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/raw"
)

// Copy places what m has in [from, to) into a map under construction, from at
// on. Sources stay what they are, so that a file of the host can still be
// copied by the kernel.
func Copy(b *diskmap.Builder, m *diskmap.Map, from, to, at int64) {
	for e := range m.Extents(from, to) {
		b.Place(at+e.Offset-from, content.Section(e.Source, e.SourceOffset, e.Length))
	}
}

// An Index numbers the blocks that are used, in order: the n-th of them is
// stored as the n-th block of the file.
type Index struct {
	spans  []Span
	before []int64 // blocks in the spans before
	count  int64
}

// NewIndex returns the index of spans, which are as [Used] returns them.
func NewIndex(spans []Span) *Index {
	x := &Index{spans: spans, before: make([]int64, len(spans))}
	for i, s := range spans {
		x.before[i] = x.count
		x.count += s.Count
	}
	return x
}

// Count returns how many blocks are used.
func (x *Index) Count() int64 { return x.count }

// Spans returns the blocks that are used.
func (x *Index) Spans() []Span { return x.spans }

// Number returns the number of a block, or false if it is not used.
func (x *Index) Number(block int64) (int64, bool) {
	i, ok := slices.BinarySearchFunc(x.spans, block, func(s Span, block int64) int {
		switch {
		case s.End() <= block:
			return -1
		case s.First > block:
			return 1
		}
		return 0
	})
	if !ok {
		return 0, false
	}
	return x.before[i] + block - x.spans[i].First, true
}

// All yields the number of each block that is used, and which block of the disk
// it is.
func (x *Index) All() iter.Seq2[int64, int64] {
	return func(yield func(number, block int64) bool) {
		number := int64(0)
		for _, s := range x.spans {
			for block := s.First; block < s.End(); block++ {
				if !yield(number, block) {
					return
				}
				number++
			}
		}
	}
}

// Store places all blocks that are used, of size bytes each, one after the
// other, the first of them at at.
func (x *Index) Store(b *diskmap.Builder, m *diskmap.Map, size, at int64) {
	for i, s := range x.spans {
		Copy(b, m, s.First*size, s.End()*size, at+x.before[i]*size)
	}
}

// Entries is a table that is made when it is written: fill is called for each
// of its count entries, of width bytes (at most 8), with p as it is to be
// overwritten.
func Entries(count int64, width int, fill func(p []byte, index int64)) *content.Generated {
	w := int64(width)
	return &content.Generated{Length: count * w, Fill: func(p []byte, off int64) error {
		var entry [8]byte
		for len(p) > 0 {
			index, skip := off/w, off%w
			if skip == 0 && int64(len(p)) >= w {
				fill(p[:w], index)
				p, off = p[w:], off+w
				continue
			}
			fill(entry[:w], index)
			n := copy(p, entry[skip:w])
			p, off = p[n:], off+int64(n)
		}
		return nil
	}}
}

// WriteFile writes the map of a container's file to f, an empty regular file.
// m is the disk in it: progress adds up to at most the length of its extents.
func WriteFile(ctx context.Context, file, m *diskmap.Map, f *os.File, o Options) error {
	return raw.WriteFile(ctx, file, f, raw.Options{Workers: o.Workers, Progress: capped(o.Progress, m.DataSize())})
}

// WriteStream writes the map of a container's file to w.
func WriteStream(ctx context.Context, file, m *diskmap.Map, w io.Writer, o Options) error {
	return raw.WriteStream(ctx, file, w, raw.Options{Workers: o.Workers, Progress: capped(o.Progress, m.Size())})
}

// capped returns progress that stops at total: tables count in a file, but not
// on the disk.
func capped(progress func(n int64), total int64) func(n int64) {
	if progress == nil {
		return nil
	}
	var done atomic.Int64
	return func(n int64) {
		end := done.Add(n)
		if n = min(end, total) - min(end-n, total); n > 0 {
			progress(n)
		}
	}
}
