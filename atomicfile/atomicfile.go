// Package atomicfile makes files that are complete or not there.
//
//	Create   DIR/IMAGE keeps what it was, if it was there
//	           a file without a name, or DIR/.IMAGE.RANDOM.partial
//	Commit   fsync, rename to DIR/IMAGE, fsync of DIR
//	Abort    the new file is gone, DIR/IMAGE keeps what it was
//
// On Linux the new file has no name before Commit, where the file system can
// do that: then not even a killed process or a power failure leaves anything.
package atomicfile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// mode of files that replace none, less the umask.
const mode = 0o666

// Options of a file. The zero value is good.
type Options struct {
	// NoSync leaves it to the kernel when the file reaches the disk. After a
	// power failure it may be empty. For benchmarks.
	NoSync bool

	// From, if not nil, is a file without a name that somebody has begun. It
	// becomes the new file, with what is in it, if that can be: otherwise the new
	// file begins empty.
	From *os.File
}

// File is a file that is being made. It is open for reading and writing.
type File struct {
	*os.File
	path string
	temp string // name of the file so far; empty if it has none
	opts Options
	done bool
}

// Create begins a file that shall become path, replacing what is there if
// that is a regular file or a link, and refusing anything else. It has the
// mode of the file that it replaces, or that which the umask gives to new
// files. The directory must exist. The embedded file calls itself path, in errors too, though it is
// not there yet.
func Create(path string, opts Options) (*File, error) {
	return create(path, opts, func(path string) (*os.File, error) {
		if opts.From != nil {
			if f, err := adopt(opts.From, path); err == nil {
				return f, nil
			}
		}
		return createUnnamed(path)
	})
}

// create is Create. A file for which unnamed returns an error has a temporary
// name.
func create(path string, opts Options, unnamed func(path string) (*os.File, error)) (*File, error) {
	path = filepath.Clean(path)
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case fi.IsDir():
		return nil, fmt.Errorf("%q is a directory; give the name of a file", path)
	case !fi.Mode().IsRegular() && fi.Mode().Type() != fs.ModeSymlink:
		return nil, fmt.Errorf("%q is not a regular file and will not be replaced by one", path)
	}
	f := &File{path: path, opts: opts}
	if f.File, err = unnamed(path); err != nil {
		if f.File, f.temp, err = createNamed(path); err != nil {
			return nil, fmt.Errorf("%q cannot be made: %w", path, err)
		}
	}
	if fi != nil && fi.Mode().IsRegular() {
		if err := chmod(f.File, fi.Mode().Perm()); err != nil {
			f.Abort()
			return nil, err
		}
	}
	return f, nil
}

// createNamed creates a file under a temporary name beside path.
func createNamed(path string) (f *os.File, temp string, err error) {
	for range 100 {
		temp = tempName(path)
		f, err = openExclusive(temp, path)
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return f, temp, err
}

// tempName returns a new name beside path. It is no longer than a name may
// be, however long that of path is.
func tempName(path string) string {
	dir, base := filepath.Split(path)
	var random [6]byte
	rand.Read(random[:]) // never fails
	return dir + "." + base[:min(len(base), 200)] + "." + hex.EncodeToString(random[:]) + ".partial"
}

// Commit makes the file appear at its path, complete and, but for NoSync,
// safe on the disk, and closes it. After an error nothing is left.
func (f *File) Commit() error {
	if f.done {
		return fmt.Errorf("%q: %w", f.path, os.ErrClosed)
	}
	if err := f.commit(); err != nil {
		f.Abort()
		return fmt.Errorf("%q cannot be completed: %w", f.path, err)
	}
	f.done = true
	if f.opts.NoSync {
		return nil
	}
	if err := SyncDir(filepath.Dir(f.path)); err != nil {
		// The file is complete; removing it now would help nobody.
		return fmt.Errorf("%q is complete, but its directory may not be on the disk: %w", f.path, err)
	}
	return nil
}

func (f *File) commit() error {
	if !f.opts.NoSync {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if f.temp == "" {
		err := giveName(f.File, f.path)
		if err == nil {
			return f.Close()
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		// A new name cannot replace one that is there; a rename can.
		temp := tempName(f.path)
		if err := giveName(f.File, temp); err != nil {
			return err
		}
		f.temp = temp
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.temp, f.path)
}

// Abort removes the file. It does nothing after Commit or Abort, so that it
// can be deferred right after Create.
func (f *File) Abort() {
	if f.done {
		return
	}
	f.done = true
	f.Close()
	if f.temp != "" {
		os.Remove(f.temp)
	}
}
