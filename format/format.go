// Package format knows the formats of disk images: their names, the suffixes of
// their files, how to tell them from one another, what writes and reads them.
//
//	disk map ──► Encoder ──► file · stream        New("qcow2", options)
//	file     ──► Open ──► Image ──► disk map      content tells the format
//
// The containers themselves are in the packages below; this is the table of
// them. Encoders can wrap what they write: a raw disk in a tar, as Google Compute
// Engine takes it, and any file in gzip, zstd or xz.
package format

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"diskwright/diskmap"
	"diskwright/format/block"
	"diskwright/format/compress"
	"diskwright/format/qcow2"
	"diskwright/format/vdi"
	"diskwright/format/vhdx"
	"diskwright/format/vmdk"
	"diskwright/format/vpc"
)

// Names of formats.
const (
	Raw             = "raw"
	Qcow2           = "qcow2"
	Qcow2Compressed = "qcow2-compressed"
	VDI             = "vdi"
	VPC             = "vpc"
	VHDX            = "vhdx"
	VMDK            = "vmdk"
)

// Options of an encoder. The zero value is good.
type Options struct {
	block.Options

	// Subformat is one of the format's Subformats; "" is the first of them.
	Subformat string
	// ForceSize keeps the exact size of the disk where the format would round
	// it (vpc).
	ForceSize bool

	// CompressionType is how the clusters of qcow2-compressed are compressed:
	// "zlib", which is "", or "zstd".
	CompressionType string
	// Compress wraps the file.
	Compress compress.Kind
	// Level is that of the clusters for qcow2-compressed, otherwise that of
	// Compress; zero is the usual one.
	Level int

	// Spool is the directory for files that exist before they are wrapped, where
	// that cannot be done at once; "" is that for temporary files. They have no
	// names.
	Spool string
}

// Format is an entry of the table.
type Format struct {
	Name        string
	Suffixes    []string // of files, with the dot; the first is the one that is written
	Product     string   // what Hydra calls it: "file PRODUCT-image PATH"
	Description string
	Subformats  []string // the first is the default; none if there is only one
	Streams     []string // the subformats, or "", that can be written to a pipe

	size func(size int64, o Options) (int64, error)
	// layout returns the file as a map. What has none, write writes, and stream
	// to a pipe.
	layout func(ctx context.Context, m *diskmap.Map, o Options) (*diskmap.Map, error)
	write  func(ctx context.Context, m *diskmap.Map, f *os.File, o Options) error
	stream func(ctx context.Context, m *diskmap.Map, w io.Writer, o Options) error
}

// Subformats that have names of their own.
const (
	tarSubformat     = "tar"
	dynamicSubformat = "dynamic"
	fixedSubformat   = "fixed"
	sparseSubformat  = "monolithicSparse"
	streamSubformat  = "streamOptimized"
)

// Formats is the table.
var Formats = []*Format{
	{
		Name: Raw, Suffixes: []string{".img", ".raw"}, Product: Raw,
		Description: "the bytes of the disk",
		Subformats:  []string{"", tarSubformat}, Streams: []string{"", tarSubformat},
		layout: func(_ context.Context, m *diskmap.Map, o Options) (*diskmap.Map, error) {
			if o.Subformat == tarSubformat {
				return tarLayout(m, o)
			}
			return m, nil
		},
	},
	{
		Name: Qcow2, Suffixes: []string{".qcow2"}, Product: Qcow2,
		Description: "QEMU",
		size:        func(size int64, _ Options) (int64, error) { return qcow2.DiskSize(size) },
		layout: func(ctx context.Context, m *diskmap.Map, o Options) (*diskmap.Map, error) {
			return qcow2.Layout(ctx, m, qcow2.Options{Options: o.Options})
		},
	},
	{
		Name: Qcow2Compressed, Suffixes: []string{".qcow2"}, Product: Qcow2,
		Description: "QEMU, with compressed clusters",
		size:        func(size int64, _ Options) (int64, error) { return qcow2.DiskSize(size) },
		write: func(ctx context.Context, m *diskmap.Map, f *os.File, o Options) error {
			return qcow2.Write(ctx, m, f, qcow2Options(o))
		},
	},
	{
		Name: VDI, Suffixes: []string{".vdi"}, Product: VDI,
		Description: "VirtualBox",
		layout: func(ctx context.Context, m *diskmap.Map, o Options) (*diskmap.Map, error) {
			return vdi.Layout(ctx, m, vdi.Options{Options: o.Options})
		},
	},
	{
		Name: VPC, Suffixes: []string{".vhd", ".vpc"}, Product: VPC,
		Description: "Virtual PC, Azure, Amazon EC2, Xen",
		Subformats:  []string{dynamicSubformat, fixedSubformat}, Streams: []string{fixedSubformat},
		size: func(size int64, o Options) (int64, error) { return vpc.DiskSize(size, vpcOptions(o)) },
		layout: func(ctx context.Context, m *diskmap.Map, o Options) (*diskmap.Map, error) {
			return vpc.Layout(ctx, m, vpcOptions(o))
		},
	},
	{
		Name: VHDX, Suffixes: []string{".vhdx"}, Product: VHDX,
		Description: "Hyper-V",
		layout: func(ctx context.Context, m *diskmap.Map, o Options) (*diskmap.Map, error) {
			return vhdx.Layout(ctx, m, vhdx.Options{Options: o.Options})
		},
	},
	{
		Name: VMDK, Suffixes: []string{".vmdk"}, Product: VMDK,
		Description: "VMware",
		Subformats:  []string{sparseSubformat, streamSubformat}, Streams: []string{streamSubformat},
		layout: func(ctx context.Context, m *diskmap.Map, o Options) (*diskmap.Map, error) {
			return vmdk.Layout(ctx, m, vmdkOptions(o))
		},
		write: func(ctx context.Context, m *diskmap.Map, f *os.File, o Options) error {
			return vmdk.Write(ctx, m, f, vmdkOptions(o))
		},
		stream: func(ctx context.Context, m *diskmap.Map, w io.Writer, o Options) error {
			return vmdk.WriteStream(ctx, m, w, vmdkOptions(o))
		},
	},
}

func vmdkOptions(o Options) vmdk.Options {
	v := vmdk.Options{Options: o.Options}
	if o.Subformat == streamSubformat {
		v.Subformat = vmdk.StreamOptimized
		if o.Compress == compress.None {
			v.Level = o.Level
		}
	}
	return v
}

// isLayout reports whether the file is a disk map.
func (e *Encoder) isLayout() bool {
	return e.Format.layout != nil && e.options.Subformat != streamSubformat
}

// IsPlain reports whether the file is the bytes of the disk and nothing else.
func (e *Encoder) IsPlain() bool {
	return e.Format.Name == Raw && e.options.Subformat == "" && e.options.Compress == compress.None
}

func qcow2Options(o Options) qcow2.Options {
	q := qcow2.Options{Options: o.Options, Compression: qcow2.Zlib, Level: o.Level}
	if o.CompressionType != "" {
		q.Compression = qcow2.Compression(o.CompressionType)
	}
	return q
}

func vpcOptions(o Options) vpc.Options {
	v := vpc.Options{Options: o.Options, ForceSize: o.ForceSize}
	if o.Subformat == fixedSubformat {
		v.Subformat = vpc.Fixed
	}
	return v
}

// Names returns the names of all formats.
func Names() []string {
	names := make([]string, len(Formats))
	for i, f := range Formats {
		names[i] = f.Name
	}
	return names
}

// SubformatNames returns the names of all subformats.
func SubformatNames() []string {
	var names []string
	for _, f := range Formats {
		for _, s := range f.Subformats {
			if s != "" {
				names = append(names, s)
			}
		}
	}
	return names
}

// refused are names that qemu-img knows, or people use, and what to say.
var refused = map[string]string{
	"vhd":       `it is called "vpc"`,
	"img":       `it is called "raw"`,
	"qcow":      `it is older than "qcow2", which every QEMU of the last 15 years reads`,
	"qed":       `QEMU only reads it any more; use "qcow2"`,
	"parallels": "diskwright does not write it",
	"luks":      "diskwright does not encrypt images",
	"bochs":     "diskwright does not write it",
	"cloop":     "diskwright does not write it",
	"dmg":       "diskwright does not write it",
	"vvfat":     "it is a directory that QEMU shows as a disk, no image",
	"blkdebug":  "it is no image, but a way of QEMU to test",
	"ova":       `it is a tar of a "vmdk" and a description of a machine`,
	"iso":       "it is no format of disks",
	"docker":    "it is no format of disks",
}

// UnknownError says that a name is not one of a format that is written.
type UnknownError struct {
	Name string
	Why  string // what there is to say about it; empty if nobody knows it
}

func (e *UnknownError) Error() string {
	formats := strings.Join(Names(), ", ")
	if e.Why == "" {
		return fmt.Sprintf("%q is not a format; the formats are %s", e.Name, formats)
	}
	return fmt.Sprintf("%q is not supported: %s; the formats are %s", e.Name, e.Why, formats)
}

// ByName returns a format, or an [*UnknownError].
func ByName(name string) (*Format, error) {
	for _, f := range Formats {
		if f.Name == name {
			return f, nil
		}
	}
	return nil, &UnknownError{name, refused[strings.ToLower(name)]}
}

// FromPath returns what the name of a file asks for: its format, and the
// subformat and compression among the options.
func FromPath(path string) (*Format, Options, error) {
	var o Options
	name := strings.ToLower(path)
	if rest, ok := strings.CutSuffix(name, ".tgz"); ok {
		name = rest + ".tar.gz"
	}
	for _, k := range compress.Kinds {
		if rest, ok := strings.CutSuffix(name, k.Suffix()); ok {
			name, o.Compress = rest, k
			break
		}
	}
	if strings.HasSuffix(name, ".tar") {
		o.Subformat = tarSubformat
		return Formats[0], o, nil
	}
	for _, f := range Formats {
		if slices.ContainsFunc(f.Suffixes, func(s string) bool { return strings.HasSuffix(name, s) }) {
			return f, o, nil
		}
	}
	return nil, o, fmt.Errorf("the name %q does not say the format; give one of %s", path, strings.Join(Names(), ", "))
}

// Encoder writes images of one format, with its options.
type Encoder struct {
	Format  *Format
	options Options
}

// OptionError says which option does not fit, by the name that parameters have.
type OptionError struct {
	Option string
	Err    error
}

func (e *OptionError) Error() string { return e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }

func wrong(option, format string, args ...any) error {
	return &OptionError{option, fmt.Errorf(format, args...)}
}

// New returns an encoder. What does not fit the format is an [*OptionError].
func New(name string, o Options) (*Encoder, error) {
	f, err := ByName(name)
	if err != nil {
		return nil, &OptionError{"format", err}
	}
	if o.Subformat == "" && len(f.Subformats) > 0 {
		o.Subformat = f.Subformats[0]
	}
	if err := f.checkOptions(o); err != nil {
		return nil, err
	}
	return &Encoder{f, o}, nil
}

func (f *Format) checkOptions(o Options) error {
	if o.Subformat != "" && !slices.Contains(f.Subformats, o.Subformat) {
		known := slices.DeleteFunc(slices.Clone(f.Subformats), func(s string) bool { return s == "" })
		if len(known) == 0 {
			return wrong("subformat", "%q: the format %s has no subformats", o.Subformat, f.Name)
		}
		return wrong("subformat", "%q: the format %s has %s", o.Subformat, f.Name, strings.Join(known, ", "))
	}
	if o.ForceSize && f.Name != VPC {
		return wrong("forceSize", "the format %s keeps the size of the disk as it is; this is for vpc", f.Name)
	}
	level := o.Level
	if o.Subformat == streamSubformat && o.Compress == compress.None {
		if level < 0 || level > 9 {
			return wrong("compressionLevel", "%d of %s is not in 1 to 9", level, streamSubformat)
		}
		level = 0
	}
	if f.Name != Qcow2Compressed {
		if o.CompressionType != "" {
			return wrong("compressionType", "%q: the format %s has no compressed clusters; %s has", o.CompressionType, f.Name, Qcow2Compressed)
		}
		if err := compress.Check(o.Compress, level); err != nil {
			return &OptionError{"compress", err}
		}
		return nil
	}
	if err := qcow2Options(o).Check(); err != nil {
		return &OptionError{"compressionType", err}
	}
	if err := compress.Check(o.Compress, 0); err != nil {
		return &OptionError{"compress", err}
	}
	return nil
}

// Suffix returns what the name of the file ends with.
func (e *Encoder) Suffix() string {
	suffix := e.Format.Suffixes[0]
	if e.options.Subformat == tarSubformat {
		suffix = ".raw.tar"
	}
	return suffix + e.options.Compress.Suffix()
}

// DiskSize returns the size that a disk of size bytes has in the image. A disk
// that has it keeps it.
func (e *Encoder) DiskSize(size int64) (int64, error) {
	if e.Format.size == nil {
		return size, nil
	}
	return e.Format.size(size, e.options)
}

// Streams reports whether the image can be written to a pipe.
func (e *Encoder) Streams() bool { return slices.Contains(e.Format.Streams, e.options.Subformat) }

// With returns an encoder with these options of all formats, and this directory
// for what is written before it is compressed ([Options.Spool]).
func (e *Encoder) With(o block.Options, spool string) *Encoder {
	other := *e
	other.options.Options, other.options.Spool = o, spool
	return &other
}

// Write writes m to f, an empty regular file.
func (e *Encoder) Write(ctx context.Context, m *diskmap.Map, f *os.File) error {
	o := e.options
	switch {
	case o.Compress != compress.None:
		return e.writeCompressed(ctx, m, f)
	case !e.isLayout():
		return e.Format.write(ctx, m, f, o)
	}
	file, err := e.Format.layout(ctx, m, o)
	if err != nil {
		return err
	}
	return block.WriteFile(ctx, file, m, f, o.Options)
}

// WriteStream writes m to w, from front to back.
func (e *Encoder) WriteStream(ctx context.Context, m *diskmap.Map, w io.Writer) error {
	o := e.options
	switch {
	case !e.Streams():
		return fmt.Errorf("an image of the format %s cannot be written to a pipe: its tables are complete only when its end is known", e.Format.Name)
	case o.Compress != compress.None:
		return e.writeCompressed(ctx, m, w)
	case !e.isLayout():
		return e.Format.stream(ctx, m, w, o)
	}
	file, err := e.Format.layout(ctx, m, o)
	if err != nil {
		return err
	}
	return block.WriteStream(ctx, file, m, w, o.Options)
}

// writeCompressed writes the compressed file to w. A file that is not a map is
// made first, and then compressed.
func (e *Encoder) writeCompressed(ctx context.Context, m *diskmap.Map, w io.Writer) error {
	o := e.options
	opts := compress.Options{Workers: o.Workers, Progress: o.Progress}
	if e.Format.Name != Qcow2Compressed {
		opts.Level = o.Level
	}
	if e.isLayout() {
		file, err := e.Format.layout(ctx, m, o)
		if err != nil {
			return err
		}
		return compress.Write(ctx, file, w, o.Compress, opts)
	}
	spool, err := newSpool(o.Spool)
	if err != nil {
		return err
	}
	defer spool.Close()
	o.Progress, opts.Progress = nil, nil // of what, would be wrong twice
	if err := e.Format.write(ctx, m, spool, o); err != nil {
		return err
	}
	file, err := mapFile(spool, true)
	if err != nil {
		return err
	}
	return compress.Write(ctx, file, w, o.Compress, opts)
}

// newSpool creates a file that has no name and goes with the process.
func newSpool(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".diskwright-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
