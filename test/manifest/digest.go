//go:build linux

package manifest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// block is the unit in which zeros are left out of a digest.
const block = 4096

// content returns the digest of a regular file: the SHA-256 of (offset, bytes)
// of every aligned block of 4096 bytes that holds anything but zeros. Equal
// contents have equal digests, wherever their holes are, and holes cost nothing.
func (r *reader) content(dir int, name string, size int64) (string, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return r.digest(fd, size)
}

// Digest returns the digest of a file, and its size, so that images can be
// compared at the cost of what they hold.
func Digest(path string) (digest string, size int64, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", 0, fmt.Errorf("open %q: %w", path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", 0, fmt.Errorf("stat %q: %w", path, err)
	}
	digest, err = new(reader).digest(fd, st.Size)
	if err != nil {
		return "", 0, fmt.Errorf("read %q: %w", path, err)
	}
	return digest, st.Size, nil
}

func (r *reader) digest(fd int, size int64) (string, error) {
	hash := sha256.New()
	var zeros [block]byte
	for at := int64(0); at < size; {
		start, end, err := data(fd, at, size)
		if err != nil {
			return "", err
		}
		start -= start % block
		for start < end {
			n, err := readFull(fd, r.buf[:min(int64(len(r.buf)), size-start)], start)
			if err != nil {
				return "", err
			}
			for i := 0; i < n; i += block {
				p := r.buf[i:min(i+block, n)]
				if string(p) != string(zeros[:len(p)]) {
					binary.Write(hash, binary.LittleEndian, start+int64(i))
					hash.Write(p)
				}
			}
			start += int64(n)
		}
		// Whole blocks were read, hence perhaps more than the run of data.
		at = max(start, end)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// data returns the first run of data at or behind off; an empty one at size if
// there is none.
func data(fd int, off, size int64) (start, end int64, err error) {
	start, err = unix.Seek(fd, off, unix.SEEK_DATA)
	if err == unix.ENXIO {
		return size, size, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("seek data: %w", err)
	}
	end, err = unix.Seek(fd, start, unix.SEEK_HOLE)
	if err != nil {
		return 0, 0, fmt.Errorf("seek hole: %w", err)
	}
	return start, end, nil
}

func readFull(fd int, p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		m, err := unix.Pread(fd, p[n:], off+int64(n))
		if err != nil {
			return n, err
		}
		if m == 0 {
			return n, io.ErrUnexpectedEOF
		}
		n += m
	}
	return n, nil
}
