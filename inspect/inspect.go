// Package inspect opens a disk image that anybody may have made and says what
// is in it: the partition table, the file systems, how full they are.
//
//	img, err := inspect.Open("disk.img")
//	for _, fs := range img.FileSystems {
//		fmt.Println(fs.Partition, fs.Type, fs.Label, fs.Used, fs.Size)
//	}
//	fmt.Print(img.Picture(80))
//
// # Formats
//
// The disk may be in any format that package format reads; what is in it is the
// same then.
//
// # What is read
//
// The partition table is that of package partition. In each partition, and on
// a disk without partitions in the disk itself, a file system is looked for: ext2,
// ext3, ext4 and FAT are read as far as their superblock goes (ext4) or their
// allocation table (FAT), of ZFS the pool and its datasets; others are only told by
// their magic numbers.
//
// # What is wrong with an image
//
// Images are hostile input. What is wrong with one does not stop the rest from
// being shown: it is listed in the Problems of its table and its file systems.
// An error is only what cannot be read at all, or is in another format.
//
// # JSON
//
// [Image] is a document for programs too: what diskwright inspect --json
// writes. Keys that mean the same as in diskwright plan --json have the same
// names. Sizes are in bytes, positions of partitions in sectors.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"diskwright/diskmap"
	"diskwright/format"
	"diskwright/format/block"
	"diskwright/partition"
)

// Image is what a disk image is and holds.
type Image struct {
	File     string `json:"file,omitempty"` // path, if it was opened by one
	Format   string `json:"format"`         // "raw", "qcow2", …: see package format
	FileSize int64  `json:"fileSize"`       // of the file, which is smaller than the disk if it is sparse or compressed
	DiskSize int64  `json:"diskSize"`
	// Compress is how the whole file is compressed, "gzip", "zstd" or "xz", and
	// Tar whether the image was in a tar.
	Compress string `json:"compress,omitempty"`
	Tar      bool   `json:"tar,omitempty"`
	// Container has what there is to say about the format; Properties has the
	// same in an order for people.
	Container  map[string]any `json:"container,omitempty"`
	Properties []block.Field  `json:"-"`

	Table *partition.Table `json:"table"`
	// BootCode is whose program starts the first sector: see the constants.
	BootCode BootCode `json:"bootCode"`
	// FileSystems are those of the partitions, in the order of the table, or
	// that of a disk without partitions. Both is possible: an ISO 9660 file
	// system leaves room for a partition table.
	FileSystems []FileSystem `json:"fileSystems"`
	// Gaps are the parts of the disk that neither a partition nor the table
	// occupies.
	Gaps []Gap `json:"gaps"`

	r     *diskmap.Map // the disk
	image *format.Image
}

// Gap is a part of the disk that nothing occupies.
type Gap struct {
	Offset int64 `json:"offset"`
	Size   int64 `json:"size"`
}

// Open opens an image file or a block device. Of a compressed image it makes a
// temporary copy.
func Open(path string) (*Image, error) {
	f, err := format.OpenFile(context.Background(), path, format.OpenOptions{MayChange: true})
	if err != nil {
		return nil, err
	}
	img, err := read(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	img.File = path
	return img, nil
}

// OpenReader reads the image of size bytes in r, which is not compressed.
func OpenReader(r io.ReaderAt, size int64) (*Image, error) {
	f, err := format.Open(r, size)
	if err != nil {
		return nil, err
	}
	return read(f)
}

func read(f *format.Image) (*Image, error) {
	disk, err := f.Map()
	if err != nil {
		return nil, err
	}
	if disk.Size() == 0 {
		return nil, errors.New("the disk is empty")
	}
	table, err := partition.Read(disk, disk.Size())
	if err != nil {
		return nil, err
	}
	img := &Image{
		Format: f.Format, FileSize: f.FileSize, DiskSize: disk.Size(),
		Compress: string(f.Compress), Tar: f.Tar, Properties: f.Fields(),
		Table: table, FileSystems: []FileSystem{}, r: disk, image: f,
	}
	for _, p := range img.Properties {
		if img.Container == nil {
			img.Container = make(map[string]any)
		}
		img.Container[p.Name] = p.Value
	}
	img.BootCode = bootCodeOf(table)
	img.Gaps = gaps(table)
	return img, img.findFileSystems()
}

// Disk returns the disk, with holes where the image has nothing. It is read from
// the image, which must stay open.
func (img *Image) Disk() *diskmap.Map { return img.r }

// findFileSystems looks into the whole disk and into each partition.
func (img *Image) findFileSystems() error {
	disk, err := findFileSystem(io.NewSectionReader(img.r, 0, img.DiskSize))
	if err != nil {
		return err
	}
	if disk != nil && (len(img.Table.Partitions) == 0 || disk.Type == typeISO9660) {
		img.FileSystems = append(img.FileSystems, *disk)
	}
	for _, p := range img.Table.Partitions {
		if p.Role == partition.Extended {
			continue
		}
		fs, err := findFileSystem(img.Content(p))
		if err != nil {
			return fmt.Errorf("partition %d: %w", p.Number, err)
		}
		if fs != nil {
			fs.Partition = p.Number
			img.FileSystems = append(img.FileSystems, *fs)
		}
	}
	return nil
}

// Content returns what of a partition lies on the disk.
func (img *Image) Content(p partition.Partition) *io.SectionReader {
	from := min(img.Table.Offset(p), img.DiskSize)
	return io.NewSectionReader(img.r, from, min(img.Table.Size(p), img.DiskSize-from))
}

// FileSystem returns the file system of the partition with that number, 0 for
// the whole disk, or nil.
func (img *Image) FileSystem(number int) *FileSystem {
	i := slices.IndexFunc(img.FileSystems, func(fs FileSystem) bool { return fs.Partition == number })
	if i < 0 {
		return nil
	}
	return &img.FileSystems[i]
}

// Problems returns everything that is wrong with the image, in words.
func (img *Image) Problems() []string {
	var list []string
	for _, p := range img.Table.Problems {
		list = append(list, p.Detail)
	}
	for _, fs := range img.FileSystems {
		for _, p := range fs.Problems {
			if fs.Partition > 0 {
				p = fmt.Sprintf("partition %d: %s", fs.Partition, p)
			}
			list = append(list, p)
		}
	}
	return list
}

// Close closes what Open opened.
func (img *Image) Close() error { return img.image.Close() }

// gaps returns what neither a partition nor the table occupies.
func gaps(t *partition.Table) []Gap {
	list := []Gap{}
	if t.Scheme == partition.Unpartitioned || len(t.Partitions) == 0 && t.LastUsable == 0 && t.Scheme == partition.GPT {
		return list
	}
	next, end := t.SectorSize, t.DiskSize // behind the MBR
	if sectors := t.DiskSize / t.SectorSize; t.Scheme == partition.GPT {
		next, end = min(t.FirstUsable, sectors)*t.SectorSize, min(t.LastUsable+1, sectors)*t.SectorSize
	}
	for _, p := range t.Placed() {
		if from := t.Offset(p); from > next {
			list = append(list, Gap{next, min(from, end) - next})
		}
		next = max(next, t.Offset(p)+t.Size(p))
		if next >= end {
			return slices.DeleteFunc(list, func(g Gap) bool { return g.Size <= 0 })
		}
	}
	list = append(list, Gap{next, end - next})
	return slices.DeleteFunc(list, func(g Gap) bool { return g.Size <= 0 })
}
