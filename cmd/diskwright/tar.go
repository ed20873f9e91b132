package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"

	"diskwright/tree"

	"github.com/spf13/cobra"
)

func newTarCommand(a *app) *cobra.Command {
	var opts filesOptions
	cmd := &cobra.Command{
		Use:   "tar IMAGE [PATH...] [flags]",
		Short: "Write files of a disk image as a tar archive",
		Long: `Write a whole file system of the image, or the files at and below the paths, as a
tar archive to standard output: with owners, times to the nanosecond, hard links,
devices, extended attributes and access lists. Holes of sparse files are written
as zeros; sockets, which tar cannot hold, are left out with a warning.
` + partitionHelp + exitStatusHelp,
		Example: `  diskwright tar out/nixos.img | zstd > root.tar.zst
  diskwright tar -p esp out/nixos.img | tar -tv
  diskwright tar out/debian.img /etc /usr/share | tar -x -C there`,
		Args: arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runTar(cmd.Context(), opts, args[0], args[1:])
		},
	}
	opts.add(cmd)
	return cmd
}

func (a *app) runTar(ctx context.Context, opts filesOptions, image string, paths []string) error {
	if isTerminal(a.ui.stdout) {
		return withHint(usageError{errors.New("an archive would garble the terminal that standard output is")},
			"redirect standard output to a file or a pipe")
	}
	a.begin(workOptions{json: opts.json})
	img, files, err := opts.openFiles(image)
	if err != nil {
		return err
	}
	defer img.Close()
	root, err := wholeTree(ctx, files, paths)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(interruptibleWriter(ctx, a.ui.stdout), 1<<20)
	err = tree.WriteTar(ctx, w, root, func(path string) { a.ui.warningf("%s is a socket, which tar cannot hold", show(path)) })
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	return nil
}
