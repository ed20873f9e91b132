package main

import (
	"context"
	"fmt"
	"io"

	"diskwright/content"

	"github.com/spf13/cobra"
)

func newCatCommand(a *app) *cobra.Command {
	var opts filesOptions
	cmd := &cobra.Command{
		Use:   "cat IMAGE PATH... [flags]",
		Short: "Write files of a disk image to standard output",
		Long: `Write the content of the files at the paths in the image to standard output, one
after the other. Symbolic links are followed, inside of the image.
` + partitionHelp + exitStatusHelp,
		Example: `  diskwright cat out/nixos.img /etc/fstab
  diskwright cat -p esp out/nixos.img /loader/loader.conf`,
		Args: arguments(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runCat(cmd.Context(), opts, args[0], args[1:])
		},
	}
	opts.add(cmd)
	return cmd
}

func (a *app) runCat(ctx context.Context, opts filesOptions, image string, paths []string) error {
	a.begin(workOptions{json: opts.json})
	img, files, err := opts.openFiles(image)
	if err != nil {
		return err
	}
	defer img.Close()
	// What is not there is known before anything is written.
	sources := make([]content.Source, len(paths))
	for n, path := range paths {
		i, err := files.Lookup(path, true)
		switch {
		case err != nil:
			return notFound(path, err)
		case !i.IsRegular():
			return fmt.Errorf("%q is a %s, not a file", path, i.TypeName())
		}
		sources[n] = i.Content
	}
	w := interruptibleWriter(ctx, a.ui.stdout)
	for n, src := range sources {
		if src == nil {
			continue
		}
		if _, err := io.Copy(w, io.NewSectionReader(src, 0, src.Size())); err != nil {
			return fmt.Errorf("%q: %w", paths[n], err)
		}
	}
	return nil
}
