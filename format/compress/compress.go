// Package compress compresses the files of images as a whole, and reads them
// again: gzip, zstd and xz.
//
// Several workers compress pieces of the same size, which are written in order:
// the result depends on the file alone. A file that is mostly holes takes the
// time of its data.
//
//	file   |  piece  |  piece  |  hole ...  |  piece  |
//	gzip   header |deflate, flushed|...|zeros, once made|...|last block| checksum, length
//	zstd   |frame|frame|...
//	xz     |stream|stream|...
//
// gzip's are one member, so that every program reads it; concatenated frames and
// streams are read as one by every program, too.
//
// # Sources
//
// RFC 1952 (gzip), RFC 8878 (zstd), "The .xz File Format", version 1.2.1.
package compress

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"diskwright/diskmap"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Kind is how a file is compressed.
type Kind string

const (
	None Kind = ""
	Gzip Kind = "gzip"
	Zstd Kind = "zstd"
	XZ   Kind = "xz"
)

// Kinds are all but None.
var Kinds = []Kind{Gzip, Zstd, XZ}

// Suffix returns what the name of a compressed file ends with.
func (k Kind) Suffix() string {
	switch k {
	case Gzip:
		return ".gz"
	case Zstd:
		return ".zst"
	case XZ:
		return ".xz"
	}
	return ""
}

// Options of compressing. The zero value is good.
type Options struct {
	// Level as the program of the name has it: 1 to 9 for gzip, 1 to 22 for
	// zstd; zero is its default, 6 or 3. xz has one level.
	Level int
	// Workers is how many goroutines compress; zero is one for each CPU. The
	// result does not depend on it.
	Workers int
	// Progress may be nil. It adds up to the length of the file.
	Progress func(n int64)
}

// Pieces are what a worker compresses at a time, without knowing what was
// before: the longer, the smaller the result, and the more memory it takes.
const (
	gzipPiece = 1 << 20
	zstdPiece = 4 << 20
	xzPiece   = 4 << 20
)

// Check refuses what is not possible.
func Check(kind Kind, level int) error {
	most := 0
	switch kind {
	case Gzip:
		most = 9
	case Zstd:
		most = 22
	case XZ, None:
		if level != 0 {
			return fmt.Errorf("compression level %d: %s has no levels", level, map[Kind]string{XZ: "xz", None: "a file that is not compressed"}[kind])
		}
		return nil
	default:
		return fmt.Errorf("compression %q is not known; gzip, zstd and xz are", string(kind))
	}
	if level < 0 || level > most {
		return fmt.Errorf("compression level %d of %s is not in 1 to %d", level, kind, most)
	}
	return nil
}

// Write writes file to w, compressed.
func Write(ctx context.Context, file *diskmap.Map, w io.Writer, kind Kind, o Options) error {
	if err := Check(kind, o.Level); err != nil {
		return err
	}
	switch kind {
	case Gzip:
		return writeGzip(ctx, file, w, o)
	case Zstd:
		return writeZstd(ctx, file, w, o)
	case XZ:
		return writePieces(ctx, file, w, xzPiece, newXZ, o, func([]byte, int64) {})
	}
	return fmt.Errorf("compress: no compression")
}

// compressor appends to dst what p is compressed. One goroutine uses it.
type compressor func(dst, p []byte) ([]byte, error)

// writePieces writes the file's pieces. Done is told their content in order,
// nil and its length for zeros.
func writePieces(ctx context.Context, file *diskmap.Map, w io.Writer, size int, make func() (compressor, error), o Options, done func(p []byte, n int64)) error {
	var pool, buffers sync.Pool
	work := func(p []byte) (*[]byte, error) {
		c, ok := pool.Get().(compressor)
		if !ok {
			var err error
			if c, err = make(); err != nil {
				return nil, err
			}
		}
		out, ok := buffers.Get().(*[]byte)
		if !ok {
			out = new([]byte)
		}
		var err error
		*out, err = c((*out)[:0], p)
		pool.Put(c)
		return out, err
	}
	type result struct {
		chunk diskmap.Chunk
		out   *[]byte
	}
	var zeros []byte // a whole piece of them, compressed
	emit := func(p []byte, n int64) error {
		if _, err := w.Write(p); err != nil {
			return fmt.Errorf("writing the compressed image: %w", err)
		}
		if o.Progress != nil {
			o.Progress(n)
		}
		return nil
	}
	chunks := diskmap.Ordered(ctx, file, size, o.Workers, func(c diskmap.Chunk) (result, error) {
		if c.IsHole() {
			return result{chunk: c}, nil
		}
		out, err := work(c.Data)
		return result{c, out}, err
	})
	if file.Size() == 0 { // not even a frame or a stream would be no file of its kind
		out, err := work(nil)
		if err != nil {
			return err
		}
		return emit(*out, 0)
	}
	for r, err := range chunks {
		if err != nil {
			return err
		}
		done(r.chunk.Data, r.chunk.Length)
		if !r.chunk.IsHole() {
			if err := emit(*r.out, r.chunk.Length); err != nil {
				return err
			}
			buffers.Put(r.out)
			continue
		}
		for left := r.chunk.Length; left > 0; left -= int64(size) {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if left < int64(size) {
				out, err := work(bytes.Repeat([]byte{0}, int(left)))
				if err == nil {
					err = emit(*out, left)
				}
				if err != nil {
					return err
				}
				break
			}
			if zeros == nil {
				out, err := work(bytes.Repeat([]byte{0}, size))
				if err != nil {
					return err
				}
				zeros = bytes.Clone(*out)
			}
			if err := emit(zeros, int64(size)); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeGzip writes one member: the pieces' deflate blocks, each flushed to a
// whole byte, and an empty last one.
func writeGzip(ctx context.Context, file *diskmap.Map, w io.Writer, o Options) error {
	level := o.Level
	if level == 0 {
		level = 6
	}
	// No name and no time; "unknown" operating system.
	header := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("writing the compressed image: %w", err)
	}
	sum := checksum{}
	make := func() (compressor, error) {
		f, err := flate.NewWriter(nil, level)
		return func(dst, p []byte) ([]byte, error) {
			out := bytes.NewBuffer(dst)
			f.Reset(out)
			if _, err := f.Write(p); err != nil {
				return nil, err
			}
			err := f.Flush()
			return out.Bytes(), err
		}, err
	}
	if err := writePieces(ctx, file, w, gzipPiece, make, o, sum.add); err != nil {
		return err
	}
	trailer := []byte{0x03, 0x00} // a last block, of fixed codes, that ends at once
	trailer = binary.LittleEndian.AppendUint32(trailer, sum.crc)
	trailer = binary.LittleEndian.AppendUint32(trailer, uint32(file.Size()))
	if _, err := w.Write(trailer); err != nil {
		return fmt.Errorf("writing the compressed image: %w", err)
	}
	return nil
}

func writeZstd(ctx context.Context, file *diskmap.Map, w io.Writer, o Options) error {
	level := o.Level
	if level == 0 {
		level = 3
	}
	make := func() (compressor, error) {
		z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
			zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdPiece), zstd.WithZeroFrames(true))
		return func(dst, p []byte) ([]byte, error) { return z.EncodeAll(p, dst), nil }, err
	}
	return writePieces(ctx, file, w, zstdPiece, make, o, func([]byte, int64) {})
}

func newXZ() (compressor, error) {
	config := xz.WriterConfig{DictCap: xzPiece, BlockSize: xzPiece}
	if err := config.Verify(); err != nil {
		return nil, err
	}
	return func(dst, p []byte) ([]byte, error) {
		out := bytes.NewBuffer(dst)
		w, err := config.NewWriter(out)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(p); err != nil {
			return nil, err
		}
		err = w.Close()
		return out.Bytes(), err
	}, nil
}
