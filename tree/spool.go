package tree

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"diskwright/content"
)

// Spool is a temporary file: a stream, so that it can be read in any order, or
// what [Spool.WriteAt] put there. The file has no name: it is gone when it is
// closed, or when the process ends in whatever way. It implements
// [content.Backed].
type Spool struct {
	dir     string
	file    *os.File
	written atomic.Int64
	clean   func() // where a file that is open cannot be without a name
}

// CreateSpool returns an empty spool in dir, or in the system's directory for
// temporary files.
func CreateSpool(dir string) (*Spool, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	file, clean, err := createUnlinked(dir)
	if err != nil {
		return nil, fmt.Errorf("spool directory %w", atPath(dir, err))
	}
	return &Spool{dir: dir, file: file, clean: clean}, nil
}

// WriteAt implements [io.WriterAt].
func (s *Spool) WriteAt(p []byte, off int64) (n int, err error) {
	n, err = content.WriteAt(s.file, p, off)
	if total := s.written.Add(int64(n)); err != nil {
		return n, fmt.Errorf("spool directory %w (after %d bytes)", atPath(s.dir, err), total)
	}
	return n, nil
}

// Size returns how many bytes were written: of a stream its length, uncompressed.
func (s *Spool) Size() int64 { return s.written.Load() }

// File returns the file, which goes when the spool is closed unless somebody has
// given it a name.
func (s *Spool) File() *os.File { return s.file }

// ReadAt implements [io.ReaderAt].
func (s *Spool) ReadAt(p []byte, off int64) (int, error) { return s.file.ReadAt(p, off) }

// Borrow implements [content.Backed]. All borrowers get the same file: they
// read at offsets and must not close it.
func (s *Spool) Borrow() (*content.Borrowed, error) {
	return content.Part{File: s.file, Length: s.Size()}.Borrow()
}

// Close frees the space. Nothing may be read afterwards. A nil spool has
// none.
func (s *Spool) Close() error {
	if s == nil {
		return nil
	}
	err := s.file.Close()
	s.clean()
	return err
}

// newSpool writes all of r to a new file in dir, or the system's directory for
// temporary files. progress is told how much that is so far; it may be nil.
func newSpool(ctx context.Context, r io.Reader, dir string, progress func(int64)) (*Spool, error) {
	s, err := CreateSpool(dir)
	if err != nil {
		return nil, err
	}
	w := &spoolWriter{ctx: ctx, spool: s, progress: progress}
	if _, err := io.CopyBuffer(w, r, make([]byte, 1<<20)); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// spoolWriter writes to a spool until the context ends.
type spoolWriter struct {
	ctx      context.Context
	spool    *Spool
	progress func(int64)
}

func (w *spoolWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.spool.WriteAt(p, w.spool.Size())
	if err == nil && w.progress != nil {
		w.progress(w.spool.Size())
	}
	return n, err
}

// maxWindow is the largest window of a zstd stream: what zstd itself takes
// without being asked for more memory.
const maxWindow = 128 << 20

// foreign are compressions and formats that are not read, by their first
// bytes, so that an error can name them.
var foreign = []struct{ magic, name string }{
	{"\xfd7zXZ\x00", "xz"}, {"BZh", "bzip2"}, {"LZIP", "lzip"}, {"\x04\x22\x4d\x18", "lz4"}, {"\x1f\x9d", "compress"},
	{"PK\x03\x04", "zip"}, {"7z\xbc\xaf\x27\x1c", "7z"}, {"hsqs", "squashfs"}, {"070701", "cpio"}, {"!<arch>\n", "ar"},
}

// magicSize is how many bytes tell what a stream is.
const magicSize = 8

// isCompressed reports whether a stream begins as gzip or zstd, or as
// something that is not read at all.
func isCompressed(magic []byte) bool {
	if isGzip(magic) || isZstd(magic) {
		return true
	}
	for _, f := range foreign {
		if bytes.HasPrefix(magic, []byte(f.magic)) {
			return true
		}
	}
	return false
}

func isGzip(magic []byte) bool { return bytes.HasPrefix(magic, []byte{0x1f, 0x8b}) }

// isZstd knows frames (RFC 8878, 3.1.1) and skippable ones (3.1.2), as pzstd
// puts first.
func isZstd(magic []byte) bool {
	return bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
		len(magic) >= 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:4], []byte{0x2a, 0x4d, 0x18})
}

// decompressed returns what a stream holds, and a function that frees it.
func decompressed(r io.Reader) (io.Reader, func(), error) {
	b := bufio.NewReaderSize(r, 1<<20)
	magic, err := b.Peek(magicSize)
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	switch {
	case isGzip(magic):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, fmt.Errorf("gzip: %w", err)
		}
		return &named{"gzip", z}, func() { z.Close() }, nil
	case isZstd(magic):
		z, err := zstd.NewReader(b, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, fmt.Errorf("zstd: %w", err)
		}
		return &named{"zstd", z}, z.Close, nil
	}
	for _, f := range foreign {
		if bytes.HasPrefix(magic, []byte(f.magic)) {
			return nil, nil, fmt.Errorf("this is %s: want a tar, plain or compressed with gzip or zstd", f.name)
		}
	}
	return b, func() {}, nil
}

// named adds the name of the compression to its errors.
type named struct {
	name string
	r    io.Reader
}

func (n *named) Read(p []byte) (int, error) {
	count, err := n.r.Read(p)
	if err != nil && err != io.EOF && !errors.Is(err, context.Canceled) {
		err = fmt.Errorf("%s: %w", n.name, err)
	}
	return count, err
}

// createAndRemove creates a file and removes its name at once, or, where open
// files cannot be without one, by the function it returns.
func createAndRemove(dir string) (*os.File, func(), error) {
	f, err := os.CreateTemp(dir, ".diskwright-spool-")
	if err != nil {
		return nil, nil, err
	}
	if os.Remove(f.Name()) == nil {
		return f, func() {}, nil
	}
	return f, func() { os.Remove(f.Name()) }, nil
}
