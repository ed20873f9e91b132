package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"diskwright/builder"
	"diskwright/progress"
	"diskwright/spec"

	"github.com/spf13/cobra"
)

// workOptions are what build and plan share besides the parameters.
type workOptions struct {
	workers int
	spool   string
	json    bool
	quiet   bool
}

// add registers the flags. Spool says where the spool is by default.
func (o *workOptions) add(cmd *cobra.Command, spool string) {
	flags := cmd.Flags()
	flags.BoolVar(&o.json, "json", false, "write the result as JSON to standard output, and everything else as JSON lines to standard error")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "show nothing but warnings and errors")
	flags.IntVar(&o.workers, "workers", 0, "use `N` threads to read and write (default one for each CPU)")
	flags.StringVar(&o.spool, "spool", "", "`DIR` for temporary copies: of a tar that cannot be read in place, of the blocks of a pool (default: "+spool+")")
}

func (o *workOptions) check() error {
	if o.workers < 0 {
		return usageError{fmt.Errorf("--workers: %d is negative", o.workers)}
	}
	return nil
}

type buildOptions struct {
	workOptions
	parameters parameterFlags
	output     string
	noSync     bool
	guest      guestOptions
}

// buildResult is what build --json writes. docs/json.md describes it.
type buildResult struct {
	Files []string `json:"files"`
	builder.Report
}

func newBuildCommand(a *app) *cobra.Command {
	var opts buildOptions
	cmd := &cobra.Command{
		Use:   "build [SPEC] [flags] -o DIR|-",
		Short: "Build a disk image",
		Long: `Build the disk image that SPEC and the flags ask for.

SPEC is a JSON or YAML file of parameters, or - for standard input. Every
parameter is a flag, too, which replaces what SPEC says.

The image goes into the directory DIR, which is made if it is missing, as BASENAME
with the suffix of its format (.img, .qcow2, ...); a file of that name is replaced
when the new one is complete. The builder zfs makes two, BASENAME.boot and
BASENAME.root. With -o - it goes to standard output, if the format
can be written from front to back.
` + exitStatusHelp,
		Example: `  diskwright build image.yaml -o out
  diskwright build --root ./rootfs --partition-table-type efi --disk-size min -o out
  docker export debian | diskwright build --root - -o - > disk.img
  diskwright build --system ./result --partition-table-type efi -o out`,
		Args:              arguments(cobra.MaximumNArgs(1)),
		ValidArgsFunction: completeSpec,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runBuild(cmd.Context(), opts, args)
		},
	}
	cmd.Flags().StringVarP(&opts.output, "output", "o", "", "write the image into the directory `DIR`, or to standard output (-)")
	opts.workOptions.add(cmd, "beside the output")
	cmd.Flags().BoolVar(&opts.noSync, "no-sync", false, "do not wait until the image is on the disk (for benchmarks)")
	opts.guest.add(cmd)
	opts.parameters.add(cmd)
	if err := cmd.MarkFlagDirname("output"); err != nil {
		panic(err) // the flag was registered just now
	}
	cmd.SetUsageFunc(groupedUsage)
	return cmd
}

// runBuild builds the image.
func (a *app) runBuild(ctx context.Context, opts buildOptions, args []string) error {
	a.begin(opts.workOptions)
	if err := a.checkOutput(opts.output); err != nil {
		return err
	}
	if opts.spool == "" && opts.output != standardInput {
		opts.spool = existing(opts.output)
	}
	s, err := a.spec(opts.workOptions, &opts.parameters, args)
	if err != nil {
		return err
	}
	if err := checkStream(opts.output, s, "a directory with -o DIR"); err != nil {
		return err
	}
	options := a.options(opts.workOptions)
	options.NoSync = opts.noSync
	build, err := a.plan(ctx, s, options, opts.guest)
	if err != nil {
		return err
	}
	defer build.Close()
	files := []string{}
	if opts.output == standardInput {
		err = build.Stream(ctx, interruptibleWriter(ctx, a.ui.stdout))
	} else {
		files, err = build.WriteDir(ctx, opts.output)
		a.script.flush()
	}
	if err != nil {
		return err
	}
	a.ui.endProgress()
	return a.showBuilt(build.Report, files, opts.output == standardInput)
}

// checkOutput refuses places that no image can go to, before any work is done.
func (a *app) checkOutput(output string) error {
	switch {
	case output == "":
		return withHint(usageError{errors.New("nowhere to write the image to")}, "give a directory with -o DIR, or -o - for standard output")
	case output == standardInput && isTerminal(a.ui.stdout):
		return withHint(usageError{errors.New("an image would garble the terminal that standard output is")},
			"redirect standard output to a file or a pipe, or give a directory with -o DIR")
	}
	return nil
}

// checkStream refuses what cannot be done with an image that goes to standard
// output; it could go to place.
func checkStream(output string, s *spec.Spec, place string) error {
	if output != standardInput {
		return nil
	}
	if name := s.NeedsDirectory(); name != "" {
		return withHint(usageError{fmt.Errorf("%s: there is no output directory with -o -", s.Called(name))}, "give a directory with -o DIR")
	}
	encoder, err := s.Encoder()
	if err != nil || encoder.Streams() {
		return nil // what is wrong with the specification is said with all else
	}
	return withHint(usageError{fmt.Errorf("%s: %q cannot go to standard output, because its tables are complete only when its end is known", s.Called("format"), s.Format)},
		"give "+place+", or one of the formats raw, vpc (fixed) and vmdk (streamOptimized)")
}

// existing returns the nearest directory that exists, of dir and those above
// it: the place beside the output.
func existing(dir string) string {
	for dir = filepath.Clean(dir); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() || dir == filepath.Dir(dir) {
			return dir
		}
	}
}

// begin notes that the arguments were accepted.
func (a *app) begin(opts workOptions) {
	a.running = true
	a.ui.json, a.ui.quiet = opts.json, opts.quiet
}

// spec returns the specification that the arguments and the flags ask for.
func (a *app) spec(opts workOptions, parameters *parameterFlags, args []string) (*spec.Spec, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	s, err := parameters.load(args, a.stdin)
	if err != nil {
		return nil, err
	}
	if s.Root == standardInput && a.stdinTerminal {
		return nil, usageError{errors.New("root: standard input is a terminal, not a tar")}
	}
	return s, nil
}

// options returns how to build.
func (a *app) options(opts workOptions) builder.Options {
	return builder.Options{
		Workers:      opts.workers,
		Progress:     a.ui.startProgress(),
		Spool:        opts.spool,
		Stdin:        a.stdin,
		ScriptOutput: &a.script,
	}
}

// showBuilt says what was built. If the image is on standard output, the
// result of --json is the last line of standard error.
func (a *app) showBuilt(report builder.Report, files []string, streamed bool) error {
	for _, note := range report.Notes {
		a.ui.printf("note: %s", note)
	}
	if report.System != nil && report.System.Optimised != nil {
		o := report.System.Optimised
		a.ui.printf("saved %s in the store by hard links of %d files", progress.Bytes(o.Bytes), o.Files)
	}
	if v := report.VM; v != nil && !v.KeptDisk {
		a.ui.printf("the system's own installer, and its activation, have added %d files, changed %d and removed %d", len(v.Added), len(v.Changed), len(v.Removed))
	}
	result := buildResult{files, report}
	switch {
	case a.ui.json && streamed:
		a.ui.event(struct {
			Event string `json:"event"` // "result"
			buildResult
		}{"result", result})
	case a.ui.json:
		return a.ui.result(result, nil)
	case streamed:
		a.ui.printf("wrote %s to standard output", diskSize(&report.Disk))
	default:
		sizes := map[string]string{}
		for _, d := range report.All() {
			sizes[d.File] = ": " + diskSize(d)
		}
		for _, file := range files {
			a.ui.printf("wrote %q%s", file, sizes[filepath.Base(file)])
		}
	}
	return nil
}

// diskSize says how large a disk is.
func diskSize(d *builder.Disk) string {
	return fmt.Sprintf("%s, of which %s are data", progress.Bytes(d.DiskSize), progress.Bytes(d.DataBytes))
}
