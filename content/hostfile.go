package content

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrChanged is wrapped by every error that says that a file of the host is
// no longer what it was when the tree was walked.
var ErrChanged = errors.New("changed while the image was being built")

// Backed is a source whose bytes lie contiguously in one open file of the
// host, so that a writer may have the kernel copy them.
type Backed interface {
	Source
	// Borrow opens the file, after checking that it is still the same file.
	Borrow() (*Borrowed, error)
}

// Borrowed is an open file of the host. The source's first byte lies at
// Offset.
type Borrowed struct {
	File   *os.File
	Offset int64
	// Return must be called once, after reading. It checks again that the
	// file did not change, and its error makes what was read worthless.
	Return func() error
}

// Part is a part of an open file that nobody changes: Length bytes at Offset.
type Part struct {
	File           *os.File
	Offset, Length int64
}

// Size returns the length in bytes.
func (p Part) Size() int64 { return p.Length }

// ReadAt implements [io.ReaderAt].
func (p Part) ReadAt(b []byte, off int64) (int, error) {
	return readClamped(b, off, p.Length, func(b []byte, off int64) error {
		return ReadFull(p.File, b, p.Offset+off)
	})
}

// Borrow implements [Backed].
func (p Part) Borrow() (*Borrowed, error) {
	return &Borrowed{p.File, p.Offset, func() error { return nil }}, nil
}

// Identity is what must not change of a file of the host between the walk
// that found it and the end of every read. Times are nanoseconds since 1970.
// Where a system has no inode numbers or ctime they are zero.
type Identity struct {
	Inode        uint64
	Size         int64
	Mtime, Ctime int64
}

// HostFile is the content of a regular file of the host. It is opened for
// each read and closed after it, and its identity compared with what the walk
// saw.
type HostFile struct {
	dir  *Dir
	name string
	id   Identity
}

// NewHostFile returns the content of the file name in dir as the walk saw it.
func NewHostFile(dir *Dir, name string, id Identity) *HostFile {
	return &HostFile{dir: dir, name: name, id: id}
}

// StatHostFile returns the content of the file at path, links followed, as it
// is now.
func StatHostFile(path string) (*HostFile, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file", path)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, err
	}
	return NewHostFile(nil, path, IdentityOf(fi)), nil
}

// Path returns the path of the host.
func (f *HostFile) Path() string { return pathOf(f.dir, f.name) }

// Size returns the length in bytes that the walk saw.
func (f *HostFile) Size() int64 { return f.id.Size }

// Borrow implements [Backed].
func (f *HostFile) Borrow() (*Borrowed, error) {
	h, err := f.open()
	if err != nil {
		return nil, err
	}
	file := h.file(f.Path())
	return &Borrowed{File: file, Return: func() error {
		return errors.Join(f.check(h), file.Close())
	}}, nil
}

// ReadAt implements [io.ReaderAt].
func (f *HostFile) ReadAt(p []byte, off int64) (int, error) {
	return readClamped(p, off, f.id.Size, func(p []byte, off int64) error {
		h, err := f.openUnchecked()
		if err != nil {
			return err
		}
		defer h.close()
		return f.read(h, p, off)
	})
}

// read fills p from off, and checks then that the file is what the walk saw. It
// was so before, too: whoever changes a file and changes it back cannot set
// back its ctime.
func (f *HostFile) read(h handle, p []byte, off int64) error {
	err := h.readFull(p, off)
	if changed := f.check(h); changed != nil {
		return changed
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF): // and yet nothing changed: a file system like /proc
		return f.changed("has fewer bytes than its size says")
	}
	return fmt.Errorf("%q: %w", f.Path(), pathless(err))
}

// open opens the file and checks that it is what the walk saw.
func (f *HostFile) open() (handle, error) {
	h, err := f.openUnchecked()
	if err != nil {
		return h, err
	}
	if err := f.check(h); err != nil {
		h.close()
		return h, err
	}
	return h, nil
}

// openUnchecked opens whatever is there now.
func (f *HostFile) openUnchecked() (handle, error) {
	h, err := openFile(f.dir, f.name)
	if how := goneOrReplaced(err); how != "" {
		return h, f.changed(how)
	}
	if err != nil {
		return h, fmt.Errorf("%q: %w", f.Path(), pathless(err))
	}
	return h, nil
}

// check compares the identity of the open file with what the walk saw.
func (f *HostFile) check(h handle) error {
	now, err := h.identity()
	if err != nil {
		return fmt.Errorf("%q: %w", f.Path(), pathless(err))
	}
	was := f.id
	switch {
	case now == was:
		return nil
	case now.Inode != was.Inode:
		return f.changed("was replaced by another file")
	case now.Size != was.Size:
		return f.changed(fmt.Sprintf("had %d bytes and now has %d", was.Size, now.Size))
	case now.Mtime != was.Mtime:
		return f.changed("was modified")
	}
	return f.changed("had its owner, mode, links or attributes changed")
}

func (f *HostFile) changed(how string) error {
	return fmt.Errorf("%q %s: %w", f.Path(), how, ErrChanged)
}

// pathless strips the path from an error of package os: callers name it.
func pathless(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
