package volume

import (
	"fmt"
	"io"
)

// fileRange is n bytes of an object from off on.
type fileRange struct {
	object *object
	off, n int64
}

// Size returns the length in bytes.
func (r *fileRange) Size() int64 { return r.n }

// ReadAt implements [io.ReaderAt].
func (r *fileRange) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > r.n {
		return 0, fmt.Errorf("offset %d is outside of %d bytes", off, r.n)
	}
	n := min(int64(len(p)), r.n-off)
	if err := r.object.readFull(p[:n], r.off+off); err != nil {
		return 0, err
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}
