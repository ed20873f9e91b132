package inspect

import (
	"io"

	"diskwright/format"
)

// Of reads what the image f holds, which is closed with the result.
func Of(f *format.Image) (*Image, error) { return read(f) }

// Section returns what of the partition with that number lies on the disk, or for
// 0 the whole disk.
func (img *Image) Section(number int) *io.SectionReader {
	if p := img.partition(number); p != nil {
		return img.Content(*p)
	}
	return io.NewSectionReader(img.r, 0, img.DiskSize)
}
