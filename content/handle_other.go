//go:build !linux && !darwin

package content

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// handle is an open file.
type handle struct{ f *os.File }

func openHandle(path string) (handle, error) {
	f, err := os.Open(path)
	return handle{f}, err
}

// goneOrReplaced says what an error of openHandle means if it means that the
// file is not there any more.
func goneOrReplaced(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "is gone"
	}
	return ""
}

func (h handle) file(string) *os.File { return h.f }

func (h handle) close() error { return h.f.Close() }

func (h handle) readFull(p []byte, off int64) error {
	n, err := h.f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (h handle) identity() (Identity, error) {
	fi, err := h.f.Stat()
	if err != nil {
		return Identity{}, err
	}
	return IdentityOf(fi), nil
}

// IdentityOf returns the identity in the result of [os.Stat] or [os.Lstat].
func IdentityOf(fi fs.FileInfo) Identity {
	return Identity{Size: fi.Size(), Mtime: fi.ModTime().UnixNano()}
}
