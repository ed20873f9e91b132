package qcow2

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// encoder compresses clusters; any number of goroutines may use it.
type encoder interface {
	// encode appends to dst a stream that decodes to src, a whole cluster.
	encode(dst, src []byte) ([]byte, error)
}

// Check refuses options that do not fit.
func (o Options) Check() error {
	if o.Compression == None && o.Level == 0 {
		return nil
	}
	_, err := newEncoder(o)
	return err
}

func newEncoder(o Options) (encoder, error) {
	switch o.Compression {
	case Zlib:
		if o.Level != 0 {
			return nil, fmt.Errorf("qcow2: compression level %d: levels are for zstd; zlib with a window of 4 KiB has none", o.Level)
		}
		return &deflater{}, nil
	case Zstd:
		if o.Level < 0 || o.Level > 22 {
			return nil, fmt.Errorf("qcow2: compression level %d of zstd is not in 1 to 22", o.Level)
		}
		level := o.Level
		if level == 0 {
			level = 3
		}
		w, err := zstd.NewWriter(nil,
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
			zstd.WithWindowSize(clusterSize),
			zstd.WithAllLitEntropyCompression(true), // half a per cent, for nothing
			zstd.WithEncoderCRC(false),              // 4 bytes for each cluster that QEMU's do not have either
		)
		return zstdEncoder{w}, err
	}
	return nil, fmt.Errorf("qcow2: compression %q is neither zlib nor zstd", o.Compression)
}

// deflater writes raw deflate streams, whose matches reach back less than 4 KiB:
// QEMU decodes with such a window. Only with all of a cluster in one buffer would
// its zlib not notice longer ones; other readers do.
type deflater struct{ writers sync.Pool }

func (d *deflater) encode(dst, src []byte) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	w, ok := d.writers.Get().(*flate.Writer)
	if ok {
		w.Reset(out)
	} else {
		var err error
		if w, err = flate.NewWriterWindow(out, deflateWindow); err != nil {
			return nil, err
		}
	}
	if _, err := w.Write(src); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	d.writers.Put(w)
	return out.Bytes(), nil
}

type zstdEncoder struct{ w *zstd.Encoder }

func (z zstdEncoder) encode(dst, src []byte) ([]byte, error) { return z.w.EncodeAll(src, dst), nil }
