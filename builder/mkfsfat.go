package builder

import (
	"context"
	"errors"

	"diskwright/diskmap"
	"diskwright/filesystem/fat"
	"diskwright/partition"
	"diskwright/spec"
	"diskwright/tree"
)

// FAT is a FAT file system that stands alone.
type FAT struct {
	Size     FileSystemSize
	Bits     int // 12, 16 or 32; 0 is 32, or what fits where that is not possible
	Label    string
	VolumeID *uint32 // nil is the epoch, as in mkfs.vfat
}

func (f FAT) size() FileSystemSize { return f.Size }

// check implements [Maker]: what goes wrong without files was asked for.
func (f FAT) check() error {
	_, err := fat.MinSize(tree.NewDir(tree.Time{}), fat.Options{Bits: f.Bits, Label: f.Label})
	return err
}

// make implements [Maker].
func (f FAT) make(_ context.Context, b *Build, root *tree.Inode) (*diskmap.Map, FileSystem, error) {
	seconds, _ := b.spec.Epoch()
	opts := fat.Options{
		Size:     f.Size.Bytes,
		Bits:     f.Bits,
		Label:    f.Label,
		VolumeID: uint32(seconds),
		Time:     tree.Time{Sec: seconds},
	}
	if f.VolumeID != nil {
		opts.VolumeID = *f.VolumeID
	}
	if f.Size.Mode != spec.DiskSizeFixed {
		size, err := fat.MinSize(root, opts)
		if err != nil {
			return nil, FileSystem{}, err
		}
		opts.Size = roundUp(size, partition.SectorSize)
		if f.Size.Mode == spec.DiskSizeAuto {
			opts.Size = roundUp(size*100/(100-freePercent), mebibyte)
		}
	}
	fs, err := fat.New(root, opts)
	var space *fat.SpaceError
	if f.Size.Mode == spec.DiskSizeAuto && errors.As(err, &space) && space.Smallest > 0 {
		opts.Size = roundUp(space.Smallest, mebibyte) // where clusters grow
		fs, err = fat.New(root, opts)
	}
	if err != nil {
		if errors.As(err, &space) {
			err = sizeError(f, err)
		}
		return nil, FileSystem{}, err
	}
	m, err := fs.Map()
	return m, aboutFAT(fs.Info()), err
}
