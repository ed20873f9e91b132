package builder

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"diskwright/diskmap"
	"diskwright/format"
	"diskwright/partition"
	"diskwright/progress"
	"diskwright/spec"
	"diskwright/tree"
)

// FileSystemSize is how large a file system that stands alone becomes. The zero
// value leaves room for more; with DiskSizeMin there is none.
type FileSystemSize struct {
	Mode  spec.DiskSizeMode
	Bytes int64 // with DiskSizeFixed
}

// ParseFileSystemSize reads "auto", "min", or a number of bytes with a unit as
// [spec.ParseIEC] takes it.
func ParseFileSystemSize(text string) (FileSystemSize, error) {
	switch text {
	case "auto":
		return FileSystemSize{}, nil
	case "min":
		return FileSystemSize{Mode: spec.DiskSizeMin}, nil
	}
	bytes, err := spec.ParseIEC(text)
	switch {
	case err != nil:
		return FileSystemSize{}, fmt.Errorf(`%w; or give "auto" or "min"`, err)
	case bytes <= 0 || bytes%partition.SectorSize != 0 || bytes > diskmap.MaxSize:
		return FileSystemSize{}, fmt.Errorf("%q is not a positive whole number of sectors of %d bytes, up to %d bytes", text, partition.SectorSize, int64(diskmap.MaxSize))
	}
	return FileSystemSize{spec.DiskSizeFixed, bytes}, nil
}

// String returns the size's mode as reports have it.
func (s FileSystemSize) String() string {
	if s.Mode == spec.DiskSizeFixed {
		return "fixed"
	}
	return spec.DiskSize{Mode: s.Mode}.String()
}

// Maker is a file system that stands alone, without a disk around it: [Ext],
// [FAT] or [Pool].
type Maker interface {
	// check says what is wrong with what was asked for, whatever the tree.
	check() error
	// size returns the size that was asked for.
	size() FileSystemSize
	// make plans the file system of the tree.
	make(ctx context.Context, b *Build, root *tree.Inode) (*diskmap.Map, FileSystem, error)
}

// NewFileSystem plans the file system that m makes of the sources of s, which
// must be valid: root and contents, as owners and xattrs say. Of the rest of s
// only identity and output count. The build is one of a disk without a
// partition table; the caller closes it.
func NewFileSystem(ctx context.Context, s *spec.Spec, m Maker, opts Options) (*Build, error) {
	if err := spec.Join(m.check(), s.Validate()); err != nil {
		return nil, err
	}
	encoder, err := s.Encoder()
	if err != nil {
		return nil, err
	}
	b := &Build{spec: s, opts: opts, format: encoder, identify: identityOf(s)}
	if err := b.planFileSystem(ctx, m); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (b *Build) planFileSystem(ctx context.Context, m Maker) error {
	progress.Phase(b.opts.Progress, "reading tree", 0)
	sources, err := b.read(ctx)
	if err != nil {
		return err
	}
	if err := tree.Own(sources.root, sources.contents); err != nil {
		return err
	}
	progress.Phase(b.opts.Progress, "planning", 0)
	var info FileSystem
	disk, err := await(ctx, func() (*diskmap.Map, error) {
		disk, about, err := m.make(ctx, b, sources.root)
		info = about
		return disk, err
	})
	if err != nil {
		return err
	}
	b.disks = []*diskmap.Map{disk}
	size, err := b.format.DiskSize(disk.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", b.spec.Called("format"), err)
	}
	if size != disk.Size() {
		b.Report.Notes = append(b.Report.Notes, fmt.Sprintf("%s: the file system of %d bytes lies at the beginning of a disk of %d in this format", b.spec.Called("format"), disk.Size(), size))
	}
	seconds, _ := b.spec.Epoch()
	r := &b.Report
	r.Format, r.DiskSizeMode = b.spec.Format, m.size().String()
	r.DiskSize, r.DataBytes = size, disk.DataSize()
	r.Epoch, r.Deterministic, r.Seed = seconds, b.spec.Deterministic, b.spec.SeedUUID().String()
	if r.Table.Scheme == "" {
		r.Table = partition.Table{
			Layout: partition.None, Scheme: partition.Unpartitioned, SectorSize: partition.SectorSize, DiskSize: size,
			Partitions: []partition.Partition{{Role: partition.Root, Sectors: disk.Size() / partition.SectorSize}},
		}
	}
	r.FileSystems = []FileSystem{info}
	return nil
}

// SetOutput makes s ask for the format, the kind of it and the compression that
// the name of a file says, where it says any and nobody else did.
func SetOutput(s *spec.Spec, path string) {
	f, named, err := format.FromPath(path)
	if err != nil || s.Called("format") != "format" {
		return
	}
	s.Format = f.Name
	if s.Subformat == "" {
		s.Subformat = named.Subformat
	}
	if s.Compress == "" {
		s.Compress = string(named.Compress)
	}
}

// WriteFile writes the image to path, and nothing beside it. A file that was
// there before is replaced once the new one is complete.
func (b *Build) WriteFile(ctx context.Context, path string) error {
	if name := b.spec.NeedsDirectory(); name != "" {
		return fmt.Errorf("%s: there is no output directory when the image is written to a file", b.spec.Called(name))
	}
	o := &output{build: b}
	b.Report.File = filepath.Base(path)
	progress.Phase(b.opts.Progress, "writing", b.Map().DataSize())
	return o.write(path, b.begun, func(f *os.File) error { return b.encoder(filepath.Dir(path), "").Write(ctx, b.Map(), f) })
}

// sizeError says of a tree that does not fit which flag is to be changed.
func sizeError(m Maker, err error) error {
	if m.size().Mode != spec.DiskSizeFixed {
		return err
	}
	return fmt.Errorf("--size: %d bytes are too small: %w", m.size().Bytes, err)
}
