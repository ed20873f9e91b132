// Package cpio writes a tree as the archive that Linux unpacks as its initial
// root file system: cpio in the "newc" format, which the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst describes.
//
//	header name\0 padding content padding   for each file, directories first
//	...
//	header "TRAILER!!!"\0 padding
//
// A header is 110 bytes of text, numbers in hexadecimal; names and contents
// begin at multiples of four. Nothing in the archive depends on anything but the
// tree: files are numbered in the tree's order, and the device that they come
// from is 0:0.
//
// The format knows neither extended attributes nor parts of a second, and has 32
// bits for sizes and times.
package cpio

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strings"

	"diskwright/content"
	"diskwright/tree"
)

const (
	magic     = "070701"
	alignment = 4
	trailer   = "TRAILER!!!"
)

// Write writes everything below root, which itself is not in the archive: the
// kernel has a root directory already.
func Write(w io.Writer, root *tree.Inode) error {
	tree.Number(root)
	a := &archive{w: bufio.NewWriterSize(w, 1<<16), seen: map[*tree.Inode]uint32{}}
	if err := a.directory("", root); err != nil {
		return err
	}
	a.header(&tree.Inode{}, 0, 1, 0, trailer)
	a.name(trailer)
	if a.err != nil {
		return a.err
	}
	return a.w.Flush()
}

// archive is one that is being written. The first error stays.
type archive struct {
	w      *bufio.Writer
	offset int64
	seen   map[*tree.Inode]uint32 // names written of files with several
	err    error
}

// directory writes what is in a directory: each subdirectory before what is
// in it, since the kernel makes none that are missing.
func (a *archive) directory(path string, dir *tree.Inode) error {
	for _, e := range dir.Entries {
		name := path + e.Name
		if err := a.file(name, e.Inode); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		if e.Inode.IsDir() {
			if err := a.directory(name+"/", e.Inode); err != nil {
				return err
			}
		}
	}
	return a.err
}

// file writes one name. Of the names of one file, the last has the content: that
// is how cpio reads them, and the kernel takes it from any.
func (a *archive) file(name string, i *tree.Inode) error {
	if strings.ContainsRune(name, 0) {
		return fmt.Errorf("a name with a NUL byte")
	}
	size := i.Size()
	if i.IsDir() {
		size = 0
	}
	if size > math.MaxUint32 {
		return fmt.Errorf("has %d bytes: at most %d are possible in a cpio archive", size, uint32(math.MaxUint32))
	}
	if i.Links > 1 && !i.IsDir() {
		if a.seen[i]++; a.seen[i] < i.Links {
			size = 0
		}
	}
	a.header(i, i.Ordinal+1, max(i.Links, 1), uint32(size), name)
	a.name(name)
	if size == 0 || a.err != nil {
		return a.err
	}
	if _, err := io.Copy(a, io.NewSectionReader(readerAt{i.Content}, 0, size)); err != nil {
		return err
	}
	a.pad()
	return a.err
}

// header writes the fields in front of a name.
func (a *archive) header(i *tree.Inode, number, links, size uint32, name string) {
	mtime := uint32(min(max(i.Mtime.Sec, 0), math.MaxUint32))
	major, minor := i.Major, i.Minor
	if t := i.Type(); t != tree.TypeBlock && t != tree.TypeChar {
		major, minor = 0, 0
	}
	const device, check = 0, 0
	fmt.Fprintf(a, "%s%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", magic,
		number, i.Mode, i.UID, i.GID, links, mtime, size, device, device, major, minor, len(name)+1, check)
}

func (a *archive) name(name string) {
	io.WriteString(a, name+"\x00")
	a.pad()
}

func (a *archive) pad() {
	if rest := a.offset % alignment; rest != 0 {
		a.Write(make([]byte, alignment-rest))
	}
}

// Write implements io.Writer for what is in the archive.
func (a *archive) Write(p []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	n, err := a.w.Write(p)
	a.offset += int64(n)
	a.err = err
	return n, err
}

// readerAt reads a source in full, or fails.
type readerAt struct{ content.Source }

func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	if err := content.ReadFull(r.Source, p, off); err != nil {
		return 0, err
	}
	return len(p), nil
}
