package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"diskwright/inspect"
	"diskwright/tree"

	"github.com/spf13/cobra"
)

type extractOptions struct {
	filesOptions
	output string
}

func newExtractCommand(a *app) *cobra.Command {
	var opts extractOptions
	cmd := &cobra.Command{
		Use:   "extract IMAGE [PATH...] -o DIR [flags]",
		Short: "Extract files of a disk image",
		Long: `Extract a whole file system of the image, or the files at and below the paths, into
the directory DIR, which is made if it is missing: modes, times, hard links and
holes. Root gets owners, devices and all extended attributes, too; for others
devices are left out with a warning.

Nothing that is there is replaced, and nothing outside of DIR is touched, whatever
the image says. What was extracted before an error stays.
` + partitionHelp + exitStatusHelp,
		Example: `  diskwright extract out/nixos.img -o root
  diskwright extract out/nixos.img /etc /nix/var -o some
  diskwright extract -p esp out/nixos.img -o esp`,
		Args: arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runExtract(cmd.Context(), opts, args[0], args[1:])
		},
	}
	opts.add(cmd)
	cmd.Flags().StringVarP(&opts.output, "output", "o", "", "extract into the directory `DIR`")
	if err := cmd.MarkFlagDirname("output"); err != nil {
		panic(err) // the flag was registered just now
	}
	return cmd
}

// extractResult is what extract --json writes.
type extractResult struct {
	Files   int             `json:"files"`
	Skipped []skippedResult `json:"skipped"`
}

type skippedResult struct {
	inspect.Name
	Why string `json:"why"`
}

func (a *app) runExtract(ctx context.Context, opts extractOptions, image string, paths []string) error {
	a.begin(workOptions{json: opts.json})
	if opts.output == "" {
		return withHint(usageError{errors.New("nowhere to extract to")}, "give a directory with -o DIR")
	}
	img, files, err := opts.openFiles(image)
	if err != nil {
		return err
	}
	defer img.Close()
	root, err := wholeTree(ctx, files, paths)
	if err != nil {
		return err
	}
	result := extractResult{Files: len(tree.Number(root)) - 1, Skipped: []skippedResult{}}
	err = tree.Extract(ctx, root, opts.output, tree.ExtractOptions{
		Privileged: os.Geteuid() == 0,
		Skipped: func(path, why string) {
			a.ui.warningf("%s: %s", show(path), why)
			result.Skipped = append(result.Skipped, skippedResult{inspect.NewName(path), why})
		},
	})
	if err != nil {
		return err
	}
	return a.ui.result(result, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%d files are in %s\n", result.Files, show(opts.output))
		return err
	})
}
