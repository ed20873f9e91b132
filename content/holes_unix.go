//go:build linux || darwin

package content

import (
	"io"

	"golang.org/x/sys/unix"
)

// NextData returns the first run of data of an open file at or behind pos, or an
// empty one at size, by SEEK_DATA and SEEK_HOLE. Where the system does not tell
// holes all is data. That the file became shorter in between is ENXIO.
func NextData(fd uintptr, pos, size int64) (data, end int64, err error) {
	data, err = unix.Seek(int(fd), pos, unix.SEEK_DATA)
	switch {
	case err == unix.ENXIO:
		return size, size, nil
	case err == unix.EINVAL || err == unix.ENOTSUP:
		return pos, size, nil // not known here
	case err != nil:
		return 0, 0, err
	case data < pos || data >= size:
		return size, size, nil // it grew
	}
	end, err = unix.Seek(int(fd), data, unix.SEEK_HOLE)
	switch {
	case err != nil:
		return 0, 0, err
	case end <= data:
		return 0, 0, io.ErrNoProgress
	}
	return data, min(end, size), nil
}
