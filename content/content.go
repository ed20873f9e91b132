// Package content describes where bytes come from before anybody reads them.
//
// A [Source] is an immutable run of bytes of known length: bytes in memory
// ([Bytes]), a file of the host ([HostFile]), a part of another source
// ([Section]), or metadata made when it is asked for ([Generated]). Zeros have
// no source: they are holes of the map that places sources (package diskmap).
//
// Planning never reads content. It places sources at offsets; whoever emits
// the result reads them then, from any number of goroutines.
package content

import (
	"fmt"
	"io"
)

// A Source is a run of Size bytes that never change. ReadAt follows
// [io.ReaderAt] and is safe for concurrent use. A source that finds that its
// bytes are not what they were when it was made (a file that was truncated,
// rewritten or removed since) returns an error that names the origin; it never
// pads or shortens.
type Source interface {
	io.ReaderAt
	// Size returns the length in bytes.
	Size() int64
}

// Bytes is a source in memory. The slice must not change afterwards.
type Bytes []byte

// Size returns the length in bytes.
func (b Bytes) Size() int64 { return int64(len(b)) }

// ReadAt implements [io.ReaderAt].
func (b Bytes) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(b)) {
		return 0, fmt.Errorf("content: offset %d outside of %d bytes", off, len(b))
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Generated is metadata that is made when it is asked for, so that it costs
// no memory in between. Fill is called with ranges inside [0, Length) only and
// must be a pure function of its arguments, safe for concurrent use; p arrives
// with arbitrary content.
type Generated struct {
	Length int64
	Fill   func(p []byte, off int64) error
}

// Size returns the length in bytes.
func (g *Generated) Size() int64 { return g.Length }

// ReadAt implements [io.ReaderAt].
func (g *Generated) ReadAt(p []byte, off int64) (int, error) {
	return readClamped(p, off, g.Length, g.Fill)
}

// Section returns the n bytes of src that start at off. A section of a source
// that lies in a host file lies in that file too (see [Backed]).
func Section(src Source, off, n int64) Source {
	if off < 0 || n < 0 || off > src.Size()-n {
		panic(fmt.Sprintf("content: section [%d, +%d) outside of %d bytes", off, n, src.Size()))
	}
	if off == 0 && n == src.Size() {
		return src
	}
	switch s := src.(type) {
	case Bytes:
		return s[off : off+n]
	case Part:
		return Part{s.File, s.Offset + off, n}
	case *section:
		return newSection(s.src, s.off+off, n)
	}
	return newSection(src, off, n)
}

func newSection(src Source, off, n int64) Source {
	s := section{src: src, off: off, n: n}
	if b, ok := src.(Backed); ok {
		return &backedSection{section: s, backed: b}
	}
	return &s
}

type section struct {
	src    Source
	off, n int64
}

func (s *section) Size() int64 { return s.n }

func (s *section) ReadAt(p []byte, off int64) (int, error) {
	return readClamped(p, off, s.n, func(p []byte, off int64) error {
		return ReadFull(s.src, p, s.off+off)
	})
}

type backedSection struct {
	section
	backed Backed
}

func (s *backedSection) Borrow() (*Borrowed, error) {
	b, err := s.backed.Borrow()
	if err != nil {
		return nil, err
	}
	b.Offset += s.off
	return b, nil
}

// ReadFull fills p from src at off, or fails.
func ReadFull(src io.ReaderAt, p []byte, off int64) error {
	n, err := src.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

// writeSize is the most that one call writes. The page cache takes memory in blocks
// of the size of a write, and a virtual machine that reports free blocks of 128 KiB
// and more to its host has to get each of them back.
const writeSize = 64 << 10

// WriteAt writes all of p to f at off, in calls that are not too large for the page
// cache, and returns how many bytes it wrote.
func WriteAt(f io.WriterAt, p []byte, off int64) (n int, err error) {
	for n < len(p) && err == nil {
		var written int
		written, err = f.WriteAt(p[n:min(len(p), n+writeSize)], off+int64(n))
		n += written
	}
	return n, err
}

// readClamped maps the contract of io.ReaderAt to a function that fills
// ranges inside [0, size) only.
func readClamped(p []byte, off, size int64, fill func([]byte, int64) error) (int, error) {
	if off < 0 || off > size {
		return 0, fmt.Errorf("content: offset %d outside of %d bytes", off, size)
	}
	n := min(int64(len(p)), size-off)
	if n > 0 {
		if err := fill(p[:n], off); err != nil {
			return 0, err
		}
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}
