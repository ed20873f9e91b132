package format

import (
	"io"
	"io/fs"
	"os"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/block"
)

// maxFileExtents bounds how many extents a file's map has. A file in more pieces
// is taken as one, with zeros.
const maxFileExtents = 1 << 20

// MapFile returns an open file, whose content is a disk whatever it looks like, as a
// map with its holes. Reading the map is an error once the file has changed.
func MapFile(f *os.File) (*diskmap.Map, error) { return mapFile(f, false) }

// mapFile returns an open file, or block device, as a map with its holes. Unless
// it may change, reading it is an error once it did.
func mapFile(f *os.File, mayChange bool) (*diskmap.Map, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd) // a device has no size to stat
	if err != nil {
		return nil, err
	}
	src := block.Source(f, size)
	if !mayChange && fi.Mode().IsRegular() {
		src = checked(f, fi, size)
	}
	var b diskmap.Builder
	n, pos := 0, int64(0)
	for pos < size {
		data, end := pos, size
		if fi.Mode().IsRegular() {
			if data, end, err = content.NextData(f.Fd(), pos, size); err != nil {
				return nil, err
			}
		}
		if n++; n > maxFileExtents {
			end = size
		}
		b.Place(data, content.Section(src, data, end-data))
		pos = end
	}
	return b.Map(size)
}

// checked returns the content of f as a file of the host, of which writers can
// have the kernel copy ranges, if its name is still that of this file.
func checked(f *os.File, fi fs.FileInfo, size int64) content.Source {
	if named, err := os.Stat(f.Name()); err == nil && os.SameFile(fi, named) {
		if src, err := content.StatHostFile(f.Name()); err == nil && src.Size() == size {
			return src
		}
	}
	return block.Source(f, size)
}
