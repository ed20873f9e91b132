// Package diskmap describes what every byte of a disk is.
//
// A [Map] is an ordered list of extents: at this offset lie that many bytes
// of that source (package content). What no extent covers is a hole and reads
// as zeros. A map is itself a source, so maps nest: the map of a file system
// is placed inside the map of its partition's disk, and the content of a
// sparse file is a map.
//
//	disk    |MBR|GPT|........|======= ESP =======|======== root ========|.|GPT|
//	                          |boot|FAT|..file...| |sb|gd|bitmaps|file|..|
//
// A map is built once, in order, by a [Builder], and never changes.
package diskmap

import (
	"cmp"
	"fmt"
	"io"
	"iter"
	"slices"
	"sort"

	"diskwright/content"
)

// MaxSize is the largest size of a map in bytes: 1 EiB.
const MaxSize = 1 << 60

// An Extent is a run of bytes of a map that is not a hole: Length bytes at
// Offset are those of Source that start at SourceOffset.
type Extent struct {
	Offset, Length int64
	Source         content.Source
	SourceOffset   int64
}

// End returns the offset behind the last byte of the extent.
func (e Extent) End() int64 { return e.Offset + e.Length }

// ReadAt reads len(p) bytes of the extent's content from off, which counts
// from the extent's first byte.
func (e Extent) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > e.Length {
		return 0, fmt.Errorf("diskmap: read [%d, +%d) outside of an extent of %d bytes", off, len(p), e.Length)
	}
	if err := content.ReadFull(e.Source, p, e.SourceOffset+off); err != nil {
		return 0, err
	}
	return len(p), nil
}

// slice returns the part of e that lies in [from, to) of the map.
func (e Extent) slice(from, to int64) Extent {
	from, to = max(from, e.Offset), min(to, e.End())
	return Extent{from, to - from, e.Source, e.SourceOffset + from - e.Offset}
}

// Map is a disk, partition or file of Size bytes. It implements
// [content.Source].
type Map struct {
	size    int64
	extents []placed // ordered, not overlapping, none empty
}

// placed is an extent without what its source knows: it always begins at the
// source's first byte and runs to its last.
type placed struct {
	offset int64
	source content.Source
}

func (p placed) end() int64 { return p.offset + p.source.Size() }

// Size returns the length in bytes, holes included.
func (m *Map) Size() int64 { return m.size }

// DataSize returns how many bytes are not holes.
func (m *Map) DataSize() int64 {
	n := int64(0)
	for e := range m.Extents(0, m.size) {
		n += e.Length
	}
	return n
}

// Extents yields the extents that lie in [from, to), in order, nested maps
// resolved, cut to the range. What lies between them is holes.
func (m *Map) Extents(from, to int64) iter.Seq[Extent] {
	from, to = max(from, 0), min(to, m.size)
	return func(yield func(Extent) bool) {
		if from < to {
			m.walk(from, to, 0, yield)
		}
	}
}

// first returns the index of the first extent that ends behind off. The search
// compares offsets only: looking into the sources would touch as many cold
// cache lines again.
func (m *Map) first(off int64) int {
	i := sort.Search(len(m.extents), func(i int) bool { return m.extents[i].offset > off })
	if i > 0 && m.extents[i-1].end() > off {
		i--
	}
	return i
}

// walk yields the extents of [from, to), which is not empty, moved by shift.
func (m *Map) walk(from, to, shift int64, yield func(Extent) bool) bool {
	first := m.first(from)
	for _, p := range m.extents[first:] {
		if p.offset >= to {
			break
		}
		if inner, ok := p.source.(*Map); ok {
			if !inner.walk(max(from-p.offset, 0), min(to-p.offset, inner.size), shift+p.offset, yield) {
				return false
			}
			continue
		}
		e := Extent{Offset: p.offset, Length: p.source.Size(), Source: p.source}.slice(from, to)
		e.Offset += shift
		if !yield(e) {
			return false
		}
	}
	return true
}

// ReadAt implements [io.ReaderAt]. It is safe for concurrent use.
func (m *Map) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > m.size {
		return 0, fmt.Errorf("diskmap: offset %d outside of %d bytes", off, m.size)
	}
	n := min(int64(len(p)), m.size-off)
	pos := off
	for e := range m.Extents(off, off+n) {
		clear(p[pos-off : e.Offset-off])
		if _, err := e.ReadAt(p[e.Offset-off:e.End()-off], 0); err != nil {
			return 0, err
		}
		pos = e.End()
	}
	clear(p[pos-off : n])
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// ExtentsOf yields the extents of any source: those of a map, or the whole of
// anything else that is not empty.
func ExtentsOf(src content.Source) iter.Seq[Extent] {
	if m, ok := src.(*Map); ok {
		return m.Extents(0, m.size)
	}
	return func(yield func(Extent) bool) {
		if n := src.Size(); n > 0 {
			yield(Extent{Length: n, Source: src})
		}
	}
}

// A Builder makes a map. Extents may be added in any order; the first mistake
// (an overlap, an extent outside of the map) is reported by Map.
type Builder struct {
	extents []placed
}

// Place puts the whole of src at off. An empty source is ignored.
func (b *Builder) Place(off int64, src content.Source) {
	if src.Size() > 0 {
		b.extents = append(b.extents, placed{off, src})
	}
}

// Reserve makes room for n more extents.
func (b *Builder) Reserve(n int) {
	b.extents = append(make([]placed, 0, len(b.extents)+n), b.extents...)
}

// Map returns the map of size bytes. The builder must not be used afterwards.
func (b *Builder) Map(size int64) (*Map, error) {
	if size < 0 || size > MaxSize {
		return nil, fmt.Errorf("diskmap: size %d is not in [0, %d]", size, int64(MaxSize))
	}
	byOffset := func(a, b placed) int { return cmp.Compare(a.offset, b.offset) }
	if !slices.IsSortedFunc(b.extents, byOffset) {
		slices.SortStableFunc(b.extents, byOffset)
	}
	end := int64(0)
	for _, p := range b.extents {
		// Subtractions, because an offset near the largest int64 must not wrap.
		if p.offset < 0 || p.source.Size() > size || p.offset > size-p.source.Size() {
			return nil, fmt.Errorf("diskmap: extent of %d bytes at %d outside of %d bytes", p.source.Size(), p.offset, size)
		}
		if p.offset < end {
			return nil, fmt.Errorf("diskmap: extent of %d bytes at %d overlaps one that ends at %d", p.source.Size(), p.offset, end)
		}
		end = p.end()
	}
	m := &Map{size: size, extents: b.extents}
	b.extents = nil
	return m, nil
}
