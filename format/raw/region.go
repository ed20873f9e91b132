package raw

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"diskwright/content"
	"diskwright/diskmap"
)

const (
	// blockSize is the unit in which files are allocated and pages are kept,
	// on the file systems that matter. Larger is correct too.
	blockSize = 4 << 10

	// regionSize is how much of the disk a worker takes at a time. The file
	// that a region lies in the middle of is opened once for it.
	regionSize = 4 << 20

	// pieceSize is about how much is read before it is written: enough to make
	// the calls' cost vanish, little enough to stay in the processor's cache.
	pieceSize = 256 << 10

	// shareMin is the least length of an extent that is worth the system calls
	// of having the kernel copy it, where that copies no bytes.
	shareMin = 64 << 10
)

func blockFloor(n int64) int64 { return n &^ (blockSize - 1) }
func blockCeil(n int64) int64  { return (n + blockSize - 1) &^ (blockSize - 1) }

// region is a part of the map, [from, to), from a multiple of regionSize to
// the next.
type region struct{ from, to int64 }

// regions hands out the regions that hold data, in order. After an error it
// stops; since all regions in front of that one were handed out before it, the
// error that remains is the first of the map.
type regions struct {
	m *diskmap.Map
	f *os.File

	mu      sync.Mutex
	pos     int64 // end of the last region
	stopped bool
	failed  int64 // start of the region that err is of
	err     error
}

func (r *regions) next(ctx context.Context) (region, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return region{}, false
	}
	if err := context.Cause(ctx); err != nil {
		r.stopped, r.failed, r.err = true, r.pos, err
		return region{}, false
	}
	for e := range r.m.Extents(r.pos, r.m.Size()) {
		from := e.Offset - e.Offset%regionSize
		r.pos = min(from+regionSize, r.m.Size())
		return region{from, r.pos}, true
	}
	r.stopped = true
	return region{}, false
}

func (r *regions) fail(at region, err error) {
	var output *writeError
	if errors.As(err, &output) {
		err = outputError(r.m, r.f, output.err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	if r.err == nil || at.from < r.failed {
		r.failed, r.err = at.from, err
	}
}

// writeError is an error of the output, not of a source.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }

// writer is a worker. Its buffer holds a run of bytes of the region that are
// read and not yet written: [start, end) of the map. It has room for less than
// a piece, a gap of less than two blocks, an extent of less than a piece, and
// the rest of its last block.
type writer struct {
	m          *diskmap.Map
	f          *os.File
	way        way
	mapping    []byte // all of f, if that is the way
	buffer     [2*pieceSize + 3*blockSize]byte
	start, end int64
}

// way is how an output's file system is best written to. All give the same
// file, and where one does not work writing is what is left.
type way int

const (
	writing way = iota
	// mapping writes regions without holes through a mapping.
	mapping
	// sharing has the kernel copy large ranges of the host's files, which
	// costs less than a copy of the bytes.
	sharing
)

// writeRegion writes the extents of [from, to) and returns their length.
func (w *writer) writeRegion(from, to int64) (int64, error) {
	if w.way == mapping {
		if n, done, err := w.fillWindow(from, to); done {
			return n, err
		}
	}
	n := int64(0)
	w.start, w.end = from, from
	for e := range w.m.Extents(from, to) {
		if err := w.writeExtent(e); err != nil {
			return n, err
		}
		n += e.Length
	}
	return n, w.flush(to)
}

func (w *writer) writeExtent(e diskmap.Extent) error {
	backed, ok := e.Source.(content.Backed)
	switch {
	case ok && (e.Length >= pieceSize || e.Length >= shareMin && w.way == sharing):
		return w.writeBacked(e, backed)
	case e.Length >= pieceSize:
		return w.writePieces(e.Offset, e.Length, func(p []byte, off int64) error {
			_, err := e.ReadAt(p, off)
			return err
		})
	}
	return w.writeSmall(e)
}

// writeSmall reads an extent that is smaller than a piece into the buffer.
func (w *writer) writeSmall(e diskmap.Extent) error {
	// A whole block without data ends the run. Anything less is bridged, and
	// blocks are written whole: a partial one costs the kernel more.
	if w.end-w.start >= pieceSize || blockFloor(e.Offset) > blockCeil(w.end) || w.start == w.end {
		if err := w.flush(e.Offset); err != nil {
			return err
		}
		w.start = max(blockFloor(e.Offset), w.end)
		w.end = w.start
	}
	p := w.buffer[:e.End()-w.start]
	clear(p[w.end-w.start : e.Offset-w.start])
	w.end = e.End()
	_, err := e.ReadAt(p[e.Offset-w.start:], 0)
	return err
}

// flush writes the run and fills its last block with zeros, but not beyond
// limit.
func (w *writer) flush(limit int64) error {
	if w.start == w.end {
		return nil
	}
	p := w.buffer[:min(blockCeil(w.end), limit)-w.start]
	clear(p[w.end-w.start:])
	start := w.start
	w.start = w.end
	return w.write(p, start)
}

func (w *writer) write(p []byte, off int64) error {
	if _, err := content.WriteAt(w.f, p, off); err != nil {
		return &writeError{err}
	}
	return nil
}

// writePieces writes the n bytes at off of the map, which read reads from
// offsets that count from off. The first piece ends at a multiple of
// pieceSize, since the page cache likes large units at their multiples.
func (w *writer) writePieces(off, n int64, read func(p []byte, off int64) error) error {
	if err := w.flush(off); err != nil {
		return err
	}
	w.start, w.end = off+n, off+n
	for done := int64(0); done < n; {
		p := w.buffer[:min(n-done, pieceSize-(off+done)%pieceSize)]
		if err := read(p, done); err != nil {
			return err
		}
		if err := w.write(p, off+done); err != nil {
			return err
		}
		done += int64(len(p))
	}
	return nil
}

// writeBacked writes a range of a host's file, which is opened once: the
// kernel copies what it can do better, and the rest goes through the buffer.
func (w *writer) writeBacked(e diskmap.Extent, src content.Backed) error {
	if err := w.flush(e.Offset); err != nil {
		return err
	}
	w.start, w.end = e.End(), e.End()
	b, err := src.Borrow()
	if err != nil {
		return err
	}
	err = w.copyRange(b.File, b.Offset+e.SourceOffset, e.Offset, e.Length)
	// What Return says explains what went wrong with reading.
	var output *writeError
	if changed := b.Return(); changed != nil && !errors.As(err, &output) {
		return changed
	}
	return err
}

func (w *writer) copyRange(src *os.File, from, to, n int64) error {
	done := int64(0)
	if w.way == sharing {
		var err error
		if done, err = kernelCopy(w.f, to, src, from, n); err != nil {
			return &writeError{err}
		}
	}
	from += done
	return w.writePieces(to+done, n-done, func(p []byte, off int64) error {
		_, err := src.ReadAt(p, from+off)
		if err == io.EOF {
			return fmt.Errorf("%q is shorter than it was: %w", src.Name(), io.ErrUnexpectedEOF)
		}
		return err
	})
}
