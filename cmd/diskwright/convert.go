package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"diskwright/atomicfile"
	"diskwright/diskmap"
	"diskwright/format"
	"diskwright/format/block"
	"diskwright/format/compress"
	"diskwright/progress"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

type convertOptions struct {
	workOptions
	format          string
	subformat       string
	compress        string
	compressionType string
	level           int
	forceSize       bool
	seed            string
	noSync          bool
}

// convertResult is what convert --json writes. docs/json.md describes it.
type convertResult struct {
	File      string `json:"file"`
	Format    string `json:"format"`
	DiskSize  int64  `json:"diskSize"`
	DataBytes int64  `json:"dataBytes"`
	FileSize  int64  `json:"fileSize,omitempty"`
}

func newConvertCommand(a *app) *cobra.Command {
	var opts convertOptions
	cmd := &cobra.Command{
		Use:   "convert IN OUT|- [flags]",
		Short: "Convert a disk image to another format",
		Long: `Write the disk of the image IN to OUT, in the format that the name of OUT or
--format says: ` + strings.Join(format.Names(), ", ") + `.

IN may be in any format, whatever its name: its content tells. It may also be
compressed with gzip, zstd or xz, or a tar with the file disk.raw; then a
temporary copy is made. It must hold the whole disk: images with a backing file or
data in other files are refused.

OUT may end with .gz, .zst or .xz, too, and .raw.tar.gz is what Google Compute
Engine takes. It is replaced when the new image is complete. Zeros take no space
where the format allows that. Same input, same bytes.
` + exitStatusHelp,
		Example: `  diskwright convert nixos.img nixos.vmdk
  diskwright convert nixos.qcow2 nixos.img.zst
  diskwright convert nixos.img small.qcow2 -f qcow2-compressed --compression-type zstd
  diskwright convert nixos.img azure.vhd --subformat fixed
  diskwright convert nixos.qcow2 - | ssh host 'cat > /dev/sdb'`,
		Args: arguments(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runConvert(cmd.Context(), opts, args[0], args[1])
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&opts.format, "format", "f", "", "`FORMAT` of OUT (default: what its name ends with, or raw for -)")
	flags.StringVar(&opts.subformat, "subformat", "", "`NAME` of a kind of the format: fixed (vpc), streamOptimized (vmdk), tar (raw)")
	flags.StringVar(&opts.compress, "compress", "", "compress the file with `NAME`: gzip, zstd, xz (default: what its name ends with)")
	flags.StringVar(&opts.compressionType, "compression-type", "", "compress the clusters of qcow2-compressed with `NAME`: zlib, zstd (default zlib)")
	flags.IntVar(&opts.level, "compression-level", 0, "compress as well as `N`, as the programs gzip and zstd number their levels")
	flags.BoolVar(&opts.forceSize, "force-size", false, "keep the exact size of the disk, which vpc rounds up")
	flags.StringVar(&opts.seed, "seed", "", "derive identifiers of the container from `UUID` (default: from the disk's partition table)")
	flags.BoolVar(&opts.noSync, "no-sync", false, "do not wait until the image is on the disk (for benchmarks)")
	opts.workOptions.add(cmd, "beside the output")
	cmd.Flag("spool").Usage = "`DIR` for the uncompressed copy of a compressed image (default: beside the output)"
	cmd.SetUsageFunc(groupedUsage)
	if err := cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(format.Names(), cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag was registered just now
	}
	return cmd
}

// runConvert converts the image at in.
func (a *app) runConvert(ctx context.Context, opts convertOptions, in, out string) error {
	a.begin(opts.workOptions)
	if err := opts.check(); err != nil {
		return err
	}
	if out == standardInput && isTerminal(a.ui.stdout) {
		return a.checkOutput(out)
	}
	if opts.spool == "" && out != standardInput {
		opts.spool = existing(filepath.Dir(out))
	}
	encoder, err := opts.encoder(out)
	if err != nil {
		return usageError{err}
	}
	if err := sameFile(in, out); err != nil {
		return usageError{err}
	}
	sink := a.ui.startProgress()
	progress.Phase(sink, "opening", 0)
	image, err := format.OpenFile(ctx, in, format.OpenOptions{Spool: opts.spool})
	if err != nil {
		return fmt.Errorf("cannot open the image: %w", err)
	}
	defer image.Close()
	disk, err := image.Map()
	if err != nil {
		return fmt.Errorf("cannot read the image: %q: %w", in, err)
	}
	size, err := encoder.DiskSize(disk.Size())
	if err != nil {
		return err
	}
	if size != disk.Size() {
		progress.Warn(sink, "the disk of %d bytes becomes one of %d: the backup of a GUID partition table is then not at its end%s", disk.Size(), size, keepSize(encoder))
	}
	encoder, err = opts.identified(encoder, disk, sink)
	if err != nil {
		return fmt.Errorf("%q: %w", in, err)
	}
	result := convertResult{File: out, Format: encoder.Format.Name, DiskSize: size, DataBytes: disk.DataSize()}
	if out == standardInput {
		progress.Phase(sink, "writing", disk.Size())
		if err := encoder.WriteStream(ctx, disk, interruptibleWriter(ctx, a.ui.stdout)); err != nil {
			return err
		}
		a.ui.endProgress()
		return a.showConverted(result, true)
	}
	progress.Phase(sink, "writing", disk.DataSize())
	if result.FileSize, err = writeAtomically(out, opts.noSync, func(f *os.File) error { return encoder.Write(ctx, disk, f) }); err != nil {
		return err
	}
	a.ui.endProgress()
	return a.showConverted(result, false)
}

// encoder returns what the name of the output and the flags ask for.
func (o *convertOptions) encoder(out string) (*format.Encoder, error) {
	name := o.format
	var opts format.Options
	if out == standardInput {
		if name == "" {
			name = format.Raw
		}
	} else {
		f, named, err := format.FromPath(out)
		switch {
		case err == nil && name == "":
			name = f.Name
		case err != nil && name == "":
			return nil, errors.New(strings.Replace(err.Error(), "give one of", "give --format with one of", 1))
		case err != nil || named.Subformat != "" && name != format.Raw:
			named.Subformat = "" // the name says nothing that counts
		}
		opts = named
	}
	if o.subformat != "" {
		opts.Subformat = o.subformat
	}
	if o.compress != "" {
		opts.Compress = compress.Kind(o.compress)
	}
	opts.CompressionType, opts.Level, opts.ForceSize, opts.Spool = o.compressionType, o.level, o.forceSize, o.spool
	encoder, err := format.New(name, opts)
	if err == nil && out == standardInput && !encoder.Streams() {
		err = fmt.Errorf("an image of the format %s cannot go to standard output: its tables are complete only when its end is known; give a file", name)
	}
	return encoder, err
}

// identified returns the encoder with identifiers for the disk's container.
func (o *convertOptions) identified(e *format.Encoder, disk *diskmap.Map, sink progress.Sink) (*format.Encoder, error) {
	var seed uuid.UUID
	var err error
	if o.seed == "" {
		seed, err = format.Seed(disk)
	} else if seed, err = uuid.Parse(o.seed); err != nil {
		err = usageError{fmt.Errorf("--seed: %q is not a UUID", o.seed)}
	}
	return e.With(block.Options{Workers: o.workers, Progress: progress.Adder(sink), Identify: format.Identify(seed)}, o.spool), err
}

// keepSize says how to keep the size.
func keepSize(e *format.Encoder) string {
	if e.Format.Name == format.VPC {
		return "; --force-size keeps the size"
	}
	return ""
}

// sameFile refuses to replace an image by itself.
func sameFile(in, out string) error {
	a, errIn := os.Stat(in)
	b, errOut := os.Stat(out)
	if errIn == nil && errOut == nil && os.SameFile(a, b) {
		return fmt.Errorf("%q and %q are the same file; give the new one another name", in, out)
	}
	return nil
}

// writeAtomically makes a file that is complete or not there, and returns its
// size.
func writeAtomically(path string, noSync bool, write func(f *os.File) error) (int64, error) {
	f, err := atomicfile.Create(path, atomicfile.Options{NoSync: noSync})
	if err != nil {
		return 0, err
	}
	defer f.Abort()
	if err := write(f.File); err != nil {
		return 0, err
	}
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), f.Commit()
}

// showConverted says what was written. If the image is on standard output, the
// result of --json is the last line of standard error.
func (a *app) showConverted(result convertResult, streamed bool) error {
	size := fmt.Sprintf("a disk of %s, of which %s are data", progress.Bytes(result.DiskSize), progress.Bytes(result.DataBytes))
	switch {
	case a.ui.json && streamed:
		a.ui.event(struct {
			Event string `json:"event"` // "result"
			convertResult
		}{"result", result})
	case a.ui.json:
		return a.ui.result(result, func(io.Writer) error { return nil })
	case streamed:
		a.ui.printf("wrote %s to standard output", size)
	default:
		a.ui.printf("wrote %q: %s", result.File, size)
	}
	return nil
}
