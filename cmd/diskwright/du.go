package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"diskwright/atomicfile"
	"diskwright/inspect"
	"diskwright/inspect/du"
	"diskwright/progress"

	"github.com/spf13/cobra"
)

type duOptions struct {
	partition    string
	depth, top   int
	noDuplicates bool
	html         string
	workOptions
}

func newDuCommand(a *app) *cobra.Command {
	var opts duOptions
	cmd := &cobra.Command{
		Use:   "du IMAGE [flags]",
		Short: "Show what takes the space of a disk image",
		Long: `Show what takes the space of a disk image: its partitions, and of each file system
that can be read the directories, the kinds of files, store paths with their
closures (if Nix has a store there), files that are equal, metadata and free space.

Sizes are those of blocks on the disk; a file with several names counts once. The
table shows parts of it: --json has all directories to the depth, and --html makes
a page with everything to look around in.
` + exitStatusHelp,
		Example: `  diskwright du out/nixos.img
  diskwright du --depth 3 --top 40 -p 2 out/nixos.img
  diskwright du --html usage.html out/nixos.qcow2
  diskwright du --json out/nixos.img | jq '.fileSystems[].store.paths[0]'`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runDu(cmd.Context(), opts, args[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&opts.partition, "partition", "p", "", "only the file system in the partition with this number or `LABEL`, or in the ESP (esp); 0 is the whole disk")
	flags.IntVar(&opts.depth, "depth", 2, "show directories `N` levels deep")
	flags.IntVar(&opts.top, "top", 15, "show the `N` largest of each list, or all with 0")
	flags.BoolVar(&opts.noDuplicates, "no-duplicates", false, "do not look for equal files, which means to read those of equal sizes")
	flags.StringVar(&opts.html, "html", "", "write a page to look around in to `FILE`, and no table")
	flags.BoolVar(&opts.json, "json", false, "write the result as JSON to standard output, and everything else as JSON lines to standard error")
	flags.BoolVarP(&opts.quiet, "quiet", "q", false, "show nothing but the result, warnings and errors")
	flags.IntVar(&opts.workers, "workers", 0, "use `N` threads to read (default one for each CPU)")
	cmd.SetUsageFunc(groupedUsage)
	return cmd
}

func (o *duOptions) check() error {
	switch {
	case o.depth < 0:
		return usageError{fmt.Errorf("--depth is %d, and must not be negative", o.depth)}
	case o.top < 0:
		return usageError{fmt.Errorf("--top is %d, and must not be negative", o.top)}
	case o.html != "" && o.json:
		return usageError{errors.New("--html and --json are two results: want one of them")}
	}
	return o.workOptions.check()
}

func (a *app) runDu(ctx context.Context, opts duOptions, path string) error {
	if err := opts.check(); err != nil {
		return err
	}
	a.begin(opts.workOptions)
	img, err := inspect.Open(path)
	if err != nil {
		return fmt.Errorf("cannot open the image: %w", err)
	}
	defer img.Close()
	usage, err := a.usage(ctx, opts, img)
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	if len(usage.FileSystems) == 0 {
		a.ui.warningf("it has no file system that can be read")
	}
	for _, fs := range usage.FileSystems {
		for _, p := range fs.Problems {
			a.ui.warningf("%s: %s", strings.ToLower(inPartition(fs.Partition)), p)
		}
	}
	if opts.html != "" {
		if err := writePage(opts.html, usage.WriteHTML); err != nil {
			return err
		}
		a.ui.printf("the page is %s", show(opts.html))
		return nil
	}
	return a.ui.result(duResultOf(usage, opts), func(w io.Writer) error { return printUsage(w, usage, opts) })
}

func (a *app) usage(ctx context.Context, opts duOptions, img *inspect.Image) (*du.Usage, error) {
	settings := du.Options{NoDuplicates: opts.noDuplicates, Workers: opts.workers}
	if opts.partition != "" {
		number, err := img.Select(opts.partition)
		if err == nil {
			_, err = img.Files(number) // says why it cannot be read
		}
		if err != nil {
			return nil, err
		}
		settings.Partitions = []int{number}
	}
	if !opts.quiet && (opts.json || isTerminal(a.ui.stderr)) {
		settings.Progress = a.ui.startProgress()
		defer a.ui.endProgress()
	}
	return du.Image(ctx, img, settings)
}

// writePage writes a page to a file, which is complete or not there.
func writePage(path string, write func(io.Writer) error) error {
	f, err := atomicfile.Create(path, atomicfile.Options{})
	if err != nil {
		return fmt.Errorf("cannot write the page: %w", err)
	}
	defer f.Abort()
	if err := write(f); err != nil {
		return fmt.Errorf("cannot write the page: %w", err)
	}
	return f.Commit()
}

// duResult is what du --json writes.
type duResult struct {
	du.Usage
	FileSystems []duFileSystem `json:"fileSystems"`
}

type duFileSystem struct {
	du.FileSystem
	Directories []duDirectory `json:"directories"`
}

// duDirectory is a directory with all below it.
type duDirectory struct {
	inspect.Name
	Size   int64 `json:"size"`
	Length int64 `json:"length"`
	Files  int64 `json:"files"`
}

func duResultOf(u *du.Usage, opts duOptions) duResult {
	r := duResult{Usage: *u, FileSystems: []duFileSystem{}}
	for _, fs := range u.FileSystems {
		f := duFileSystem{FileSystem: fs, Directories: []duDirectory{}}
		for _, d := range fs.Root.Directories(opts.depth, 0) {
			f.Directories = append(f.Directories, duDirectory{inspect.NewName(d.Path), d.Size, d.Length, d.Files})
		}
		r.FileSystems = append(r.FileSystems, f)
	}
	return r
}

func printUsage(w io.Writer, u *du.Usage, opts duOptions) error {
	t := newTable(w)
	t.line("IMAGE %s", show(u.File))
	t.flush()
	t.line("  disk\t%s", size(u.DiskSize))
	if u.FileSize != u.DiskSize {
		t.line("  file (%s)\t%s", u.Format, size(u.FileSize))
	}
	t.heading("PARTS")
	for _, p := range u.Parts {
		what := p.What
		if p.Partition > 0 {
			what = fmt.Sprintf("partition %d", p.Partition)
		}
		fill := ""
		if p.Used > 0 {
			fill = fmt.Sprintf("%s used, %s free", progress.Bytes(p.Used), progress.Bytes(p.Free))
		}
		t.line("  %s\t%s\t%s\t%s\t%s", progress.Bytes(p.Size), what, p.Type, showLabel(p.Label), fill)
	}
	for _, fs := range u.FileSystems {
		printFileSystemUse(t, fs, opts)
	}
	return t.flush()
}

func printFileSystemUse(t *table, fs du.FileSystem, opts duOptions) {
	in := inPartition(fs.Partition)
	t.heading("SPACE %s (%s)", in, fs.Type)
	t.line("  %s\t%s\tfiles (%d)", progress.Bytes(fs.Files), share(fs.Files, fs.Size), fs.Root.Files)
	for _, area := range fs.Areas {
		t.line("  %s\t%s\t%s", progress.Bytes(area.Size), share(area.Size, fs.Size), area.What)
	}
	reserved := ""
	if fs.Reserved > 0 {
		reserved = fmt.Sprintf(", of which %s for root", progress.Bytes(fs.Reserved))
	}
	t.line("  %s\t%s\tfree%s", progress.Bytes(fs.Free), share(fs.Free, fs.Size), reserved)
	if fs.Root.Files < 2 {
		return
	}
	t.heading("DIRECTORIES %s", in)
	directories := fs.Root.Directories(opts.depth, 0)
	for _, d := range directories[:opts.shown(len(directories))] {
		t.line("  %s\t%s\t%s", progress.Bytes(d.Size), share(d.Size, fs.Files), show(d.Path))
	}
	opts.more(t, len(directories))
	t.heading("KINDS %s", in)
	for _, k := range fs.Kinds[:opts.shown(len(fs.Kinds))] {
		t.line("  %s\t%s\t%s (%d)", progress.Bytes(k.Size), share(k.Size, fs.Files), k.Kind, k.Files)
	}
	opts.more(t, len(fs.Kinds))
	if fs.Store != nil {
		printStoreUse(t, fs.Store, opts)
	}
	if fs.Duplicates != nil {
		printDuplicates(t, fs.Duplicates, opts)
	}
}

func printStoreUse(t *table, s *du.Store, opts duOptions) {
	t.heading("STORE PATHS (%d, %s)", len(s.Paths), progress.Bytes(s.Size))
	if s.Registered {
		t.line("  size\tclosure\tpaths")
	}
	for _, p := range s.Paths[:opts.shown(len(s.Paths))] {
		switch {
		case !s.Registered:
			t.line("  %s\t%s", progress.Bytes(p.Size), p.Path)
		case !p.Valid:
			t.line("  %s\tnot registered\t\t%s", progress.Bytes(p.Size), p.Path)
		default:
			t.line("  %s\t%s\t%d\t%s", progress.Bytes(p.Size), progress.Bytes(p.ClosureSize), p.ClosurePaths, p.Path)
		}
	}
	opts.more(t, len(s.Paths))
}

func printDuplicates(t *table, d *du.Duplicates, opts duOptions) {
	if d.Size == 0 {
		return
	}
	t.heading("EQUAL FILES BELOW %s: %s could be saved by hard links of %d files", d.Below, progress.Bytes(d.Size), d.Files)
	for _, g := range d.Groups[:opts.shown(len(d.Groups))] {
		t.line("  %s\t%d equal to\t%s", progress.Bytes(g.Size), g.Files, showName(g.Names[0]))
	}
	opts.more(t, len(d.Groups))
}

// shown returns how many of n lines are shown.
func (o *duOptions) shown(n int) int {
	if o.top == 0 {
		return n
	}
	return min(n, o.top)
}

// more says how many of n lines were left out.
func (o *duOptions) more(t *table, n int) {
	if left := n - o.shown(n); left > 0 {
		t.flush()
		t.line("  and %d more: --top 0 shows all", left)
	}
}

// share writes a part of a whole in percent.
func share(part, whole int64) string {
	if whole <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

func showLabel(label string) string {
	if label == "" {
		return ""
	}
	return show(label)
}
