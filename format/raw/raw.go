// Package raw writes a disk map as a raw image: the bytes of the disk and
// nothing else.
//
//	map     |MBR|GPT|......|==ESP==|....|sb|gd|bitmap|file|file|file|....|.|GPT|
//	file    |MBR|GPT| hole |==ESP==|hole|sb|gd|bitmap|file|file|file|hole|.|GPT|
//	stream  |MBR|GPT|000000|==ESP==|0000|sb|gd|bitmap|file|file|file|0000|0|GPT|
//
// [WriteFile] makes a sparse file. Its map is divided into regions, and
// several workers take those that hold data, in order:
//
//	region  |..|sb|gd|bitmap|f|f|f|....|f|f|======== large file =======|f|f|..|
//	            \___ one write ___/    \ / \_ shared, or in pieces ___/ \ /
//
// Small extents are read into the worker's buffer and written run by run, so
// that a thousand small files cost a thousand reads and a few writes. Large
// files of the host are opened once for a region. Where the output's file
// system can share their blocks, or has a server copy them, the kernel does
// that and their bytes never enter the process; on ext4 a region without holes
// is mapped, and all of it is read to where it belongs; elsewhere large files go
// through the buffer in pieces.
//
// [WriteStream] makes one sequential stream, read ahead by several workers,
// with zeros for the holes.
package raw

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"

	"diskwright/content"
	"diskwright/diskmap"
)

// Options of writing. The zero value is good.
type Options struct {
	// Workers is how many goroutines read and write; zero is one for each
	// CPU. The result does not depend on it.
	Workers int
	// Progress may be nil. It is called with the number of bytes that were
	// done since its last call, from several goroutines at once.
	Progress func(n int64)
}

func (o Options) workers() int {
	if o.Workers > 0 {
		return o.Workers
	}
	return runtime.GOMAXPROCS(0)
}

func (o Options) progress(n int64) {
	if o.Progress != nil && n > 0 {
		o.Progress(n)
	}
}

// WriteFile writes m to f, a regular file, which becomes as long as the map. It is
// empty, or what is in it are extents of m that lie where they belong: each a
// [content.Part] of f itself. Those are not written again. Blocks of 4 KiB in which
// the map has no extent are not written and stay holes. Progress adds up to
// [diskmap.Map.DataSize].
//
// Errors name the file that they are about: f, or the source in m. Where
// several sources are wrong it is the first of the map. After an error, f is in
// any state.
func WriteFile(ctx context.Context, m *diskmap.Map, f *os.File, opts Options) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	rest := m
	if fi.Size() != 0 {
		if rest, err = notIn(m, fi); err != nil {
			return err
		}
	}
	if !fi.Mode().IsRegular() || rest == nil {
		return fmt.Errorf("raw: %q is not an empty regular file", f.Name())
	}
	if rest != m {
		opts.progress(m.DataSize() - rest.DataSize())
	}
	return writeFile(ctx, rest, f, wayTo(f), opts)
}

// notIn returns the map without what lies in a file already, where it belongs; nil if
// nothing does. What shares a block with another extent stays: blocks are written as a
// whole.
func notIn(m *diskmap.Map, fi fs.FileInfo) (*diskmap.Map, error) {
	same := make(map[*os.File]bool)
	inPlace := func(e diskmap.Extent) (bool, error) {
		part, ok := e.Source.(content.Part)
		if !ok || part.Offset+e.SourceOffset != e.Offset {
			return false, nil
		}
		is, known := same[part.File]
		if !known {
			other, err := part.File.Stat()
			if err != nil {
				return false, err
			}
			is = os.SameFile(fi, other)
			same[part.File] = is
		}
		return is, nil
	}
	var rest diskmap.Builder
	place := func(e diskmap.Extent, from, to int64) {
		if from < to {
			rest.Place(from, content.Section(e.Source, e.SourceOffset+from-e.Offset, to-from))
		}
	}
	found := false
	add := func(e diskmap.Extent, before, behind int64) error {
		there, err := inPlace(e)
		from, to := e.Offset, e.End()
		if !there {
			from = to
		} else {
			if before > blockFloor(from) {
				from = min(blockCeil(from), to)
			}
			if behind < blockCeil(to) {
				to = max(blockFloor(to), from)
			}
		}
		place(e, e.Offset, from)
		place(e, to, e.End())
		found = found || there
		return err
	}
	var last diskmap.Extent
	before := int64(0) // the end of what is before it
	for e := range m.Extents(0, m.Size()) {
		if err := add(last, before, e.Offset); err != nil {
			return nil, err
		}
		last, before = e, last.End()
	}
	if err := add(last, before, blockCeil(m.Size())); err != nil {
		return nil, err
	}
	if !found {
		return nil, nil
	}
	return rest.Map(m.Size())
}

func writeFile(ctx context.Context, m *diskmap.Map, f *os.File, way way, opts Options) error {
	if err := f.Truncate(m.Size()); err != nil {
		return outputError(m, f, err)
	}
	var mapped []byte
	if way == mapping {
		var err error
		if mapped, err = mapFile(f, m.Size()); err != nil {
			way = writing
		}
	}
	regions := &regions{m: m, f: f}
	var running sync.WaitGroup
	for range opts.workers() {
		running.Go(func() {
			w := &writer{m: m, f: f, way: way, mapping: mapped}
			for {
				r, ok := regions.next(ctx)
				if !ok {
					return
				}
				n, err := w.writeRegion(r.from, r.to)
				if err != nil {
					regions.fail(r, err)
					return
				}
				opts.progress(n)
			}
		})
	}
	running.Wait()
	if err := unmapFile(mapped); err != nil && regions.err == nil {
		return outputError(m, f, err)
	}
	return regions.err
}

// outputError says what it means that the output cannot be written.
func outputError(m *diskmap.Map, f *os.File, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	switch {
	case isNoSpace(err):
		return fmt.Errorf("%q: the image needs %d bytes on its file system: %w", f.Name(), allocation(m), err)
	case isTooLarge(err):
		return fmt.Errorf("%q: the image is %d bytes long, more than its file system or the limit of file sizes allows: %w", f.Name(), m.Size(), err)
	}
	return fmt.Errorf("%q: %w", f.Name(), err)
}

// allocation returns how many bytes the blocks have that m has extents in.
func allocation(m *diskmap.Map) int64 {
	n, end := int64(0), int64(0)
	for e := range m.Extents(0, m.Size()) {
		from := max(blockFloor(e.Offset), end)
		end = max(blockCeil(e.End()), end)
		n += end - from
	}
	return n
}

// zeros is what is written for holes of a stream.
var zeros = make([]byte, 256<<10)

// WriteStream writes the whole of m to w. Progress adds up to the size of the
// map. Cancelling ctx takes effect between writes to w.
func WriteStream(ctx context.Context, m *diskmap.Map, w io.Writer, opts Options) error {
	write := func(p []byte) error {
		if _, err := w.Write(p); err != nil {
			return fmt.Errorf("writing the image: %w", err)
		}
		opts.progress(int64(len(p)))
		return nil
	}
	for c, err := range m.Chunks(ctx, diskmap.DefaultChunk, opts.workers()) {
		if err != nil {
			return err
		}
		if !c.IsHole() {
			if err := write(c.Data); err != nil {
				return err
			}
			continue
		}
		for left := c.Length; left > 0; left -= int64(len(zeros)) {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if err := write(zeros[:min(left, int64(len(zeros)))]); err != nil {
				return err
			}
		}
	}
	return nil
}
