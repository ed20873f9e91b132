package diskmap

import (
	"context"
	"iter"
	"runtime"
	"sync"
)

// A Chunk is a piece of a map as it is read in order: Length bytes at Offset.
type Chunk struct {
	Offset, Length int64
	// Data is nil for a hole, which may have any length. Otherwise it has
	// Length bytes, holes between its extents filled with zeros.
	Data []byte
}

// IsHole reports whether the chunk is all hole.
func (c Chunk) IsHole() bool { return c.Data == nil }

// DefaultChunk is a size of chunks for readers that do not depend on one.
const DefaultChunk = 1 << 20

// Chunks yields the whole map in order, read ahead by several goroutines
// (workers; zero or less is one for each CPU). The map is cut at multiples of
// size: into holes of any number of such pieces, and pieces that touch an
// extent. Memory is bounded by about 2·workers pieces.
//
// Data is valid until the next step of the loop. An error, also that of ctx,
// is yielded once and ends the loop; it is the first in the order of the map,
// whichever was met first. The loop may be left at any time.
func (m *Map) Chunks(ctx context.Context, size, workers int) iter.Seq2[Chunk, error] {
	return Ordered(ctx, m, size, workers, func(c Chunk) (Chunk, error) { return c, nil })
}

// Ordered is [Map.Chunks] with work: it is called for each chunk by one of
// the workers, chunks in any order and several at once, and what it returns is
// yielded in the order of the map. Encoders compress in it. The chunk's data is
// valid, and may be overwritten, until the step of the loop that got work's
// result has ended.
func Ordered[T any](ctx context.Context, m *Map, size, workers int, work func(Chunk) (T, error)) iter.Seq2[T, error] {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	if size <= 0 {
		size = DefaultChunk
	}
	return func(yield func(T, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		l := newLine[T](m, size, 2*workers+1)
		var running sync.WaitGroup
		running.Go(func() { l.cut(ctx) })
		for range workers {
			running.Go(func() { l.read(ctx, work) })
		}
		// Also when the loop's body panics.
		defer running.Wait()
		defer cancel(nil)
		l.deliver(ctx, yield)
	}
}

// line is a production line. One goroutine cuts the map and queues every
// piece twice: in todo, from which any worker takes it, and in order, from
// which the consumer takes it and waits until it is done. The pieces in
// flight are those that came from free, which bounds memory.
type line[T any] struct {
	m     *Map
	size  int
	free  chan *piece[T]
	todo  chan *piece[T]
	order chan *piece[T]
}

type piece[T any] struct {
	chunk  Chunk
	buffer []byte
	result T
	err    error
	done   chan struct{} // receives once the result or error is there
}

func newLine[T any](m *Map, size, pieces int) *line[T] {
	l := &line[T]{
		m:     m,
		size:  size,
		free:  make(chan *piece[T], pieces),
		todo:  make(chan *piece[T], pieces),
		order: make(chan *piece[T], pieces),
	}
	for range pieces {
		l.free <- &piece[T]{done: make(chan struct{}, 1)}
	}
	return l
}

// cut queues the pieces of the map.
func (l *line[T]) cut(ctx context.Context) {
	defer close(l.todo)
	defer close(l.order)
	l.m.cut(int64(l.size), func(c Chunk, hole bool) bool {
		select {
		case p := <-l.free:
			if !hole {
				if p.buffer == nil {
					p.buffer = make([]byte, l.size)
				}
				c.Data = p.buffer[:c.Length]
			}
			p.chunk = c
			l.order <- p
			l.todo <- p
			return true
		case <-ctx.Done():
			return false
		}
	})
}

// cut calls piece, as long as it returns true, with pieces that begin at
// multiples of size and cover the map.
func (m *Map) cut(size int64, piece func(c Chunk, hole bool) bool) {
	pos := int64(0)
	for e := range m.Extents(0, m.size) {
		if start := e.Offset - e.Offset%size; start > pos {
			if !piece(Chunk{Offset: pos, Length: start - pos}, true) {
				return
			}
			pos = start
		}
		for pos < e.End() {
			n := min(size, m.size-pos)
			if !piece(Chunk{Offset: pos, Length: n}, false) {
				return
			}
			pos += n
		}
	}
	if pos < m.size {
		piece(Chunk{Offset: pos, Length: m.size - pos}, true)
	}
}

// read is a worker.
func (l *line[T]) read(ctx context.Context, work func(Chunk) (T, error)) {
	for p := range l.todo {
		if p.err = context.Cause(ctx); p.err == nil && !p.chunk.IsHole() {
			_, p.err = l.m.ReadAt(p.chunk.Data, p.chunk.Offset)
		}
		if p.err == nil {
			p.result, p.err = work(p.chunk)
		}
		p.done <- struct{}{}
	}
}

// deliver yields the results in order.
func (l *line[T]) deliver(ctx context.Context, yield func(T, error) bool) {
	var none T
	for p := range l.order {
		<-p.done
		if p.err != nil {
			yield(none, p.err)
			return
		}
		if !yield(p.result, nil) {
			return
		}
		p.result = none
		l.free <- p
	}
	if err := context.Cause(ctx); err != nil {
		yield(none, err)
	}
}
