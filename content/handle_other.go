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

// openDirs is of no use where files are opened by their paths.
type openDirs struct{}

func newOpenDirs() *openDirs { return nil }

func (*openDirs) next() uint32 { return 0 }

// openFile opens the file name in dir, or that at the path name if dir is nil.
func openFile(dir *Dir, name string) (handle, error) {
	f, err := os.Open(pathOf(dir, name))
	return handle{f}, err
}

// goneOrReplaced says what an error of openFile means if it means that the
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
