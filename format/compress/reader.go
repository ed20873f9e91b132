package compress

import (
	"bufio"
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// magics tell compressed files by their first bytes.
var magics = []struct {
	kind  Kind
	magic string
}{
	{Gzip, "\x1f\x8b\x08"},
	{Zstd, "\x28\xb5\x2f\xfd"},
	{XZ, "\xfd7zXZ\x00"},
}

// Detect returns how a file is compressed that begins with p.
func Detect(p []byte) Kind {
	for _, m := range magics {
		if bytes.HasPrefix(p, []byte(m.magic)) {
			return m.kind
		}
	}
	return None
}

// maxWindow bounds the memory of decoders: the most that the programs need to
// be told for, "xz -9" and "zstd --long=27".
const maxWindow = 128 << 20

// NewReader returns what the file of size bytes in r is when decompressed. It
// may be endless.
func NewReader(r io.ReaderAt, size int64, kind Kind) (io.ReadCloser, error) {
	// Some decoders read byte by byte.
	in := bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 256<<10)
	switch kind {
	case Gzip:
		z, err := gzip.NewReader(in)
		return named{z, kind}, wrap(err, kind)
	case Zstd:
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
		if err != nil {
			return nil, wrap(err, kind)
		}
		return named{z.IOReadCloser(), kind}, nil
	case XZ:
		if err := checkXZ(r, size); err != nil {
			return nil, wrap(err, kind)
		}
		z, err := xz.NewReader(in)
		return named{io.NopCloser(z), kind}, wrap(err, kind)
	}
	return nil, fmt.Errorf("compress: %q is not a kind", string(kind))
}

// named says in errors what it is that cannot be read.
type named struct {
	io.ReadCloser
	kind Kind
}

func (r named) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	return n, wrap(err, r.kind)
}

func wrap(err error, kind Kind) error {
	if err == nil || err == io.EOF {
		return err
	}
	return fmt.Errorf("%s: %w", kind, err)
}
