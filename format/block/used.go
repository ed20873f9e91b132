package block

import (
	"context"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"diskwright/content"
	"diskwright/diskmap"
)

// A Span is Count blocks from First.
type Span struct{ First, Count int64 }

// End returns the block behind the last one.
func (s Span) End() int64 { return s.First + s.Count }

// taskBlocks is how many blocks a worker looks at before it takes others.
const taskBlocks = 1 << 10

// Used returns the blocks of size bytes that are not all zero, in order, as
// spans of which no two touch. The last block may be cut short by the end of
// the map.
//
// A block without an extent is zero without reading anything. Of the others,
// extents are read up to the first byte that is not zero: mostly that costs one
// small read for each block, and their content is not read twice.
func Used(ctx context.Context, m *diskmap.Map, size int64, workers int) ([]Span, error) {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	tasks := covered(m, size)
	results := make([][]Span, len(tasks))
	errs := make([]error, len(tasks))
	var taken atomic.Int64
	var failed atomic.Bool
	var running sync.WaitGroup
	for range min(workers, len(tasks)) {
		running.Go(func() {
			s := scanner{m: m, size: size}
			for !failed.Load() {
				i := int(taken.Add(1)) - 1
				if i >= len(tasks) {
					return
				}
				// Tasks are taken in order, so that all in front of the
				// first error are done.
				if results[i], errs[i] = s.used(ctx, tasks[i]); errs[i] != nil {
					failed.Store(true)
				}
			}
		})
	}
	running.Wait()
	var all []Span
	for i, spans := range results {
		if errs[i] != nil {
			return nil, errs[i]
		}
		for _, s := range spans {
			all = add(all, s)
		}
	}
	return all, nil
}

// add appends s, which does not lie in front of the last span and may overlap
// it.
func add(spans []Span, s Span) []Span {
	if last := len(spans) - 1; last >= 0 && spans[last].End() >= s.First {
		spans[last].Count = max(spans[last].End(), s.End()) - spans[last].First
		return spans
	}
	return append(spans, s)
}

// covered returns the blocks that extents touch, cut to spans of at most
// taskBlocks.
func covered(m *diskmap.Map, size int64) []Span {
	var spans, tasks []Span
	for e := range m.Extents(0, m.Size()) {
		first, last := e.Offset/size, (e.End()-1)/size
		spans = add(spans, Span{first, last - first + 1})
	}
	for _, s := range spans {
		for s.Count > taskBlocks {
			tasks = append(tasks, Span{s.First, taskBlocks})
			s = Span{s.First + taskBlocks, s.Count - taskBlocks}
		}
		tasks = append(tasks, s)
	}
	return tasks
}

// scanner looks for bytes that are not zero.
type scanner struct {
	m      *diskmap.Map
	size   int64
	buffer []byte
}

// The first read of a block is small, because it nearly always suffices.
const (
	firstRead = 4 << 10
	nextRead  = 64 << 10
)

// used returns the blocks of a task that are not zero.
func (s *scanner) used(ctx context.Context, task Span) ([]Span, error) {
	var spans []Span
	known := int64(-1) // the last block that is known to be used
	for e := range s.m.Extents(task.First*s.size, task.End()*s.size) {
		err := s.withReader(e, func(r io.ReaderAt, shift int64) error {
			for at := e.Offset; at < e.End(); {
				block := at / s.size
				end := min((block+1)*s.size, e.End())
				if block != known {
					if err := context.Cause(ctx); err != nil {
						return err
					}
					zero, err := s.isZero(r, at+shift, end-at)
					if err != nil {
						return err
					}
					if !zero {
						known = block
						spans = add(spans, Span{block, 1})
					}
				}
				at = end
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return spans, nil
}

// withReader calls read with what e is read from and the distance from the map
// to it. A file that has several blocks is opened once for all of them.
func (s *scanner) withReader(e diskmap.Extent, read func(r io.ReaderAt, shift int64) error) error {
	shift := e.SourceOffset - e.Offset
	backed, ok := e.Source.(content.Backed)
	if !ok || e.Length <= s.size {
		return read(e.Source, shift)
	}
	b, err := backed.Borrow()
	if err != nil {
		return err
	}
	err = read(b.File, shift+b.Offset)
	if changed := b.Return(); changed != nil {
		return changed
	}
	return err
}

// isZero reports whether n bytes at off are zero.
func (s *scanner) isZero(r io.ReaderAt, off, n int64) (bool, error) {
	if s.buffer == nil {
		s.buffer = make([]byte, nextRead)
	}
	for step := int64(firstRead); n > 0; step = nextRead {
		p := s.buffer[:min(step, n)]
		if err := content.ReadFull(r, p, off); err != nil {
			return false, err
		}
		if !IsZero(p) {
			return false, nil
		}
		off, n = off+int64(len(p)), n-int64(len(p))
	}
	return true, nil
}
