//go:build !linux

package tree

import (
	"errors"
	"time"
)

// makeNode cannot make anything here.
func makeNode(*hostDir, string, *Inode) error { return errors.ErrUnsupported }

// setMtime sets the times of all but symbolic links.
func setMtime(dir *hostDir, name string, i *Inode) error {
	if i.IsSymlink() {
		return nil
	}
	mtime := time.Unix(i.Mtime.Sec, int64(i.Mtime.Nsec))
	return dir.Chtimes(name, mtime, mtime)
}

// setXattrs writes none: those of Linux mean nothing here.
func setXattrs(*hostDir, string, []Xattr) error { return nil }
