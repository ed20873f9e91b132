package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"diskwright/atomicfile"
	"diskwright/builder"
	"diskwright/filesystem/ext4"
	"diskwright/filesystem/zfs"
	"diskwright/spec"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

// mkfsOptions are what the file systems share.
type mkfsOptions struct {
	workOptions
	parameters parameterFlags
	output     string
	size       string
	noSync     bool
}

// mkfsParameters are the parameters of build that file systems have too.
var mkfsParameters = []string{
	"contents", "owners", "xattrs", "deterministic", "seed",
	"format", "subformat", "forceSize", "compressionType", "compressionLevel", "compress",
}

const mkfsHelp = `
TREE is a directory, a tar (plain, gzip, zstd), or - for a tar from standard input.
Files of a directory belong to root unless --owners keep says otherwise; tars keep
their owners.

FILE is replaced when the new one is complete; with - the file system goes to
standard output. FILE is the file system, nothing around it; --format, or a name
such as FILE.qcow2 or FILE.img.zst, makes it the disk of an image.

Same input, same bytes, identifiers too: --seed UUID gives others. SOURCE_DATE_EPOCH
is the time of what is made, and no file is later.
`

func newMkfsCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mkfs",
		Short: "Make a file system of a directory or a tar",
		Long: `Make a file system that holds a directory or a tar, without a disk around it, root,
or a kernel that knows it.
` + exitStatusHelp,
		Example: `  diskwright mkfs ext4 ./rootfs -o root.ext4
  diskwright mkfs fat ./esp --size 64M --label ESP -o esp.img
  diskwright mkfs zfs ./rootfs --pool tank -O compression=zstd --size 20G -o tank.img`,
		// So that of an unknown kind not its flags are what is said.
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		err := errors.New("no kind of file system")
		if len(args) > 0 {
			err = fmt.Errorf("%q is no kind of file system that is made", args[0])
		}
		var kinds []string
		for _, kind := range cmd.Commands() {
			kinds = append(kinds, kind.Name())
		}
		return withHint(usageError{err}, "it must be one of "+strings.Join(kinds, ", "), `see "diskwright mkfs --help"`)
	}
	for _, kind := range []ext4.Kind{ext4.Ext4, ext4.Ext3, ext4.Ext2} {
		cmd.AddCommand(newMkfsExtCommand(a, kind))
	}
	cmd.AddCommand(newMkfsFATCommand(a), newMkfsZFSCommand(a))
	return cmd
}

// newMkfs returns the command of a file system; maker says what its flags ask
// for.
func newMkfs(a *app, cmd *cobra.Command, opts *mkfsOptions, maker func(builder.FileSystemSize) (builder.Maker, error)) *cobra.Command {
	cmd.Use += " TREE [flags] -o FILE|-"
	cmd.Long += mkfsHelp + exitStatusHelp
	cmd.Args = arguments(cobra.ExactArgs(1))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.runMkfs(cmd.Context(), *opts, args[0], maker)
	}
	flags := cmd.Flags()
	flags.StringVarP(&opts.output, "output", "o", "", "write the file system to `FILE`, or to standard output (-)")
	flags.StringVar(&opts.size, "size", "auto", "make it as large as `SIZE`: bytes, with a unit if you like (512M), auto (which leaves room for more), or min")
	opts.workOptions.add(cmd, "beside the output")
	flags.BoolVar(&opts.noSync, "no-sync", false, "do not wait until the file is on the disk (for benchmarks)")
	opts.parameters.add(cmd, mkfsParameters...)
	cmd.Flag("seed").Usage = "derive all other identifiers from `UUID` (default: always the same)"
	cmd.SetUsageFunc(groupedUsage)
	return cmd
}

func newMkfsExtCommand(a *app, kind ext4.Kind) *cobra.Command {
	var opts mkfsOptions
	e := builder.Ext{Kind: kind}
	var id string
	cmd := &cobra.Command{
		Use:   kind.String(),
		Short: fmt.Sprintf("Make an %s file system", kind),
		Long: fmt.Sprintf(`Make an %s file system that holds TREE. It is as large as --size says: auto leaves a
tenth of it and 4,096 inodes free, min leaves nothing.
`, kind),
		Example: fmt.Sprintf(`  diskwright mkfs %[1]s ./rootfs -o root.%[1]s
  docker export debian | diskwright mkfs %[1]s - --size 4G -o - > debian.%[1]s`, kind),
	}
	cmd.Flags().StringVarP(&e.Label, "label", "L", "", "label it `LABEL`, at most 16 bytes")
	cmd.Flags().StringVarP(&id, "uuid", "U", "", "give it this `UUID` (default: derived from --seed)")
	newMkfs(a, cmd, &opts, func(size builder.FileSystemSize) (_ builder.Maker, err error) {
		e.Size = size
		if id != "" {
			if e.UUID, err = spec.ParseUUID(id); err == nil && e.UUID == uuid.Nil {
				err = errors.New("all zeros are no identifier")
			}
			if err != nil {
				return nil, fmt.Errorf("--uuid: %w", err)
			}
		}
		return e, nil
	})
	opts.parameters.add(cmd, "fsProfile")
	return cmd
}

func newMkfsFATCommand(a *app) *cobra.Command {
	var opts mkfsOptions
	var f builder.FAT
	var id string
	cmd := &cobra.Command{
		Use:   "fat",
		Short: "Make a FAT file system",
		Long: `Make a FAT file system that holds TREE: FAT32, or FAT16 or FAT12 if it is too small
for that. It is as large as --size says: auto leaves a tenth of it free, min leaves
nothing. Owners, modes and links, which FAT does not have, are lost; what it cannot
hold otherwise, such as symbolic links and devices, is an error.
`,
		Example: `  diskwright mkfs fat ./esp --size 64M --label ESP -o esp.img`,
	}
	cmd.Flags().StringVarP(&f.Label, "label", "n", "", "label it `LABEL`, at most 11 characters")
	cmd.Flags().StringVarP(&id, "volume-id", "i", "", "give the volume the `NUMBER`, eight hexadecimal digits (default: the time)")
	cmd.Flags().IntVarP(&f.Bits, "fat-size", "F", 0, "make entries of `BITS`: 12, 16 or 32 (default: by the size)")
	return newMkfs(a, cmd, &opts, func(size builder.FileSystemSize) (builder.Maker, error) {
		f.Size = size
		if id != "" {
			digits := strings.Replace(id, "-", "", 1)
			number, err := strconv.ParseUint(digits, 16, 32)
			if err != nil || len(digits) != 8 {
				return nil, fmt.Errorf("--volume-id: %q is not a number of eight hexadecimal digits, such as 12CE-A600", id)
			}
			volume := uint32(number)
			f.VolumeID = &volume
		}
		return f, nil
	})
}

func newMkfsZFSCommand(a *app) *cobra.Command {
	var opts mkfsOptions
	var p builder.Pool
	var pool, properties, datasets []string
	cmd := &cobra.Command{
		Use:   "zfs",
		Short: "Make a ZFS pool",
		Long: `Make a ZFS pool that holds TREE, ready to be imported: the content of a partition,
or with --whole-disk a disk as zpool create partitions it, which grows with its
disk.

Properties are those of zpool create -o (--pool-property) and -O (--property), and
mean the same. A dataset with mount=PATH holds what TREE has there; everything else
is in the pool's own file system. Where they are mounted once the pool is imported,
the property mountpoint says, as always.

Auto, which --size is by default, leaves a tenth free even if nothing could be
compressed. Free space takes no space in FILE.
`,
		Example: `  diskwright mkfs zfs ./home --pool tank -O compression=zstd -O atime=off -o tank.img
  diskwright mkfs zfs ./rootfs --size 20G --whole-disk --pool-property autoexpand=on \
    -O mountpoint=none --dataset tank/root,mount=/,mountpoint=/ \
    --dataset tank/nix,mount=/nix,mountpoint=/nix,atime=off -o disk.img`,
	}
	flags := cmd.Flags()
	flags.StringVar(&p.Name, "pool", "tank", "call the pool `NAME`")
	flags.StringArrayVar(&pool, "pool-property", nil, "set `PROPERTY=VALUE` of the pool, as zpool create -o does (may be repeated)")
	flags.StringArrayVarP(&properties, "property", "O", nil, "set `PROPERTY=VALUE` of the pool's file system, which the others inherit (may be repeated)")
	flags.StringArrayVar(&datasets, "dataset", nil, "make the file system `NAME[,mount=PATH][,PROPERTY=VALUE]` below it (may be repeated)")
	flags.StringVar(&p.Features, "features", "", "give the pool the features of the set `NAME`: minimal, or one of OpenZFS's compatibility sets, such as openzfs-2.1 (default minimal)")
	flags.BoolVar(&p.WholeDisk, "whole-disk", false, "make a disk that is the pool's, with a partition table")
	newMkfs(a, cmd, &opts, func(size builder.FileSystemSize) (_ builder.Maker, err error) {
		p.Size = size
		if p.PoolProperties, err = builder.ParseProperties(pool); err != nil {
			return nil, fmt.Errorf("--pool-property: %w", err)
		}
		if p.Properties, err = builder.ParseProperties(properties); err != nil {
			return nil, fmt.Errorf("--property: %w", err)
		}
		for _, text := range datasets {
			d, err := builder.ParsePoolDataset(text)
			if err != nil {
				return nil, fmt.Errorf("--dataset: %w", err)
			}
			p.Datasets = append(p.Datasets, d)
		}
		return p, nil
	})
	cmd.Flag("size").Usage = "make it as large as `SIZE`: bytes, with a unit if you like (20G), or auto, which leaves room for more"
	if err := cmd.RegisterFlagCompletionFunc("features", cobra.FixedCompletions(zfs.FeatureSets(), cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag was registered just now
	}
	return cmd
}

// runMkfs makes a file system of the tree at path.
func (a *app) runMkfs(ctx context.Context, opts mkfsOptions, path string, maker func(builder.FileSystemSize) (builder.Maker, error)) error {
	a.begin(opts.workOptions)
	if err := a.checkMkfs(&opts, path); err != nil {
		return err
	}
	size, err := builder.ParseFileSystemSize(opts.size)
	if err != nil {
		return usageError{fmt.Errorf("--size: %w", err)}
	}
	m, err := maker(size)
	if err != nil {
		return usageError{err}
	}
	s := spec.New()
	s.Root = path
	if err := opts.parameters.set(s); err != nil {
		return err
	}
	if opts.output != standardInput {
		builder.SetOutput(s, opts.output)
	}
	if err := checkStream(opts.output, s, "a file with -o FILE"); err != nil {
		return err
	}
	options := a.options(opts.workOptions)
	options.NoSync = opts.noSync
	build, err := builder.NewFileSystem(ctx, s, m, options)
	if err != nil {
		return err
	}
	defer build.Close()
	files := []string{}
	if opts.output == standardInput {
		err = build.Stream(ctx, interruptibleWriter(ctx, a.ui.stdout))
	} else {
		files = append(files, opts.output)
		err = build.WriteFile(ctx, opts.output)
	}
	if err != nil {
		return err
	}
	a.ui.endProgress()
	return a.showBuilt(build.Report, files, opts.output == standardInput)
}

// checkMkfs refuses places that no file system can come from or go to, before
// any work is done, and says where the spool goes.
func (a *app) checkMkfs(opts *mkfsOptions, path string) error {
	const hint = "give a file with -o FILE, or -o - for standard output"
	switch {
	case opts.output == "":
		return withHint(usageError{errors.New("nowhere to write the file system to")}, hint)
	case opts.output == standardInput && isTerminal(a.ui.stdout):
		return withHint(usageError{errors.New("a file system would garble the terminal that standard output is")}, hint)
	case path == standardInput && a.stdinTerminal:
		return usageError{errors.New("standard input is a terminal, not a tar")}
	}
	if opts.spool == "" && opts.output != standardInput {
		opts.spool = existing(filepath.Dir(opts.output))
	}
	if err := sameFile(path, opts.output); err != nil {
		return usageError{err}
	}
	if err := opts.check(); err != nil || opts.output == standardInput {
		return err
	}
	return creatable(opts.output)
}

// creatable says why there can be no file at path.
func creatable(path string) error {
	f, err := atomicfile.Create(path, atomicfile.Options{})
	if err == nil {
		f.Abort()
	}
	return err
}
