package format

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/format/block"
	"diskwright/format/compress"
	"diskwright/format/qcow2"
	"diskwright/format/vdi"
	"diskwright/format/vhdx"
	"diskwright/format/vmdk"
	"diskwright/format/vpc"
)

// Image is an image that anybody may have made.
type Image struct {
	// Format is the name of the format, Raw for anything unknown.
	Format string
	// Compress is how the file is compressed, and Tar whether the image is in
	// a tar in it.
	Compress compress.Kind
	Tar      bool
	// FileSize is that of the file, compressed if it is.
	FileSize int64

	container container
	closers   []io.Closer
}

// container is what each format's package has.
type container interface {
	Size() int64
	Map() (*diskmap.Map, error)
	Fields() []block.Field
}

// openers opens each format. r stays in use.
var openers = map[string]func(r io.ReaderAt, size int64) (container, error){
	Raw:   func(r io.ReaderAt, size int64) (container, error) { return rawImage{r, size}, nil },
	Qcow2: func(r io.ReaderAt, size int64) (container, error) { return qcow2.Open(r, size) },
	VDI:   func(r io.ReaderAt, size int64) (container, error) { return vdi.Open(r, size) },
	VPC:   func(r io.ReaderAt, size int64) (container, error) { return vpc.Open(r, size) },
	VHDX:  func(r io.ReaderAt, size int64) (container, error) { return vhdx.Open(r, size) },
	VMDK:  func(r io.ReaderAt, size int64) (container, error) { return vmdk.Open(r, size) },
}

// Size returns the size of the disk.
func (img *Image) Size() int64 { return img.container.Size() }

// Map returns the disk, with holes where the image has nothing.
func (img *Image) Map() (*diskmap.Map, error) { return img.container.Map() }

// Fields returns what else there is to say about the container.
func (img *Image) Fields() []block.Field { return img.container.Fields() }

// Close closes what was opened.
func (img *Image) Close() error {
	var errs []error
	for _, c := range img.closers {
		errs = append(errs, c.Close())
	}
	img.closers = nil
	return errors.Join(errs...)
}

// Open opens the image of size bytes in r, which stays in use. It may not be
// compressed. If r is a disk map, its holes are holes of the image.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	if size == 0 {
		return nil, errors.New("it is empty")
	}
	name, err := Sniff(r, size)
	if err != nil {
		return nil, err
	}
	open := openers[name]
	if open == nil {
		return nil, &UnreadError{Format: name}
	}
	c, err := open(r, size)
	if err != nil {
		return nil, err
	}
	return &Image{Format: name, FileSize: size, container: c}, nil
}

// OpenOptions say how to open a file.
type OpenOptions struct {
	// Spool is the directory for the uncompressed copy of a compressed image;
	// "" is that for temporary files. The copy has no name.
	Spool string
	// Limit is the most bytes that the copy may have; zero is the largest disk.
	// Zeros in it take no space.
	Limit int64
	// NoSpool refuses compressed images instead.
	NoSpool bool
	// MayChange reads a file that changes meanwhile, such as the disk of a
	// machine that runs. Otherwise that is an error.
	MayChange bool
}

// OpenFile opens an image file or a block device.
func OpenFile(ctx context.Context, path string, o OpenOptions) (*Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	img, err := openFile(ctx, f, o)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	img.closers = append(img.closers, f)
	return img, nil
}

func openFile(ctx context.Context, f *os.File, o OpenOptions) (*Image, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := fi.Mode(); !mode.IsRegular() && mode.Type() != os.ModeDevice {
		return nil, errors.New("it is neither a file nor a block device")
	}
	file, err := mapFile(f, o.MayChange)
	if err != nil {
		return nil, err
	}
	kind, inTar, err := wrapped(file)
	if err != nil {
		return nil, err
	}
	if kind == compress.None && !inTar {
		return Open(file, file.Size())
	}
	if o.NoSpool {
		what := string(kind)
		if kind == compress.None {
			what = "tar"
		}
		return nil, &UnreadError{what, "unpack it first"}
	}
	spool, inTar, err := unwrap(ctx, file, kind, inTar, o)
	if err != nil {
		return nil, err
	}
	inner, err := mapFile(spool, true)
	if err == nil {
		var img *Image
		if img, err = Open(inner, inner.Size()); err == nil {
			img.Compress, img.Tar, img.FileSize = kind, inTar, file.Size()
			img.closers = append(img.closers, spool)
			return img, nil
		}
	}
	spool.Close()
	return nil, err
}

// wrapped looks whether a file is compressed, or a tar.
func wrapped(file *diskmap.Map) (kind compress.Kind, inTar bool, err error) {
	p := make([]byte, min(512, file.Size()))
	if err := content.ReadFull(file, p, 0); err != nil {
		return "", false, err
	}
	return compress.Detect(p), isTar(p), nil
}

// rawImage is any file: its bytes are the disk's.
type rawImage struct {
	r    io.ReaderAt
	size int64
}

func (i rawImage) Size() int64 { return i.size }

func (i rawImage) Map() (*diskmap.Map, error) {
	if m, ok := i.r.(*diskmap.Map); ok && m.Size() == i.size {
		return m, nil
	}
	var b diskmap.Builder
	b.Place(0, block.Source(i.r, i.size))
	return b.Map(i.size)
}

func (i rawImage) Fields() []block.Field { return nil }
