//go:build linux || darwin

package format

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// nextData returns the first run of data of f at or behind pos, or an empty one
// at size.
func nextData(f *os.File, pos, size int64) (data, end int64, err error) {
	data, err = unix.Seek(int(f.Fd()), pos, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, size, nil
	case errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP):
		return pos, size, nil // not known here: all is data
	case err != nil:
		return 0, 0, err
	case data < pos || data >= size:
		return size, size, nil
	}
	end, err = unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
	if err == nil && end <= data {
		err = io.ErrNoProgress
	}
	return data, min(end, size), err
}
