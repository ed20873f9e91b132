package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"diskwright/inspect"
	"diskwright/inspect/diff"
	"diskwright/progress"

	"github.com/spf13/cobra"
)

// Exit statuses of diff, as those of diff and cmp.
const (
	exitDifferent = 1
	exitTrouble   = 2
)

type diffOptions struct {
	exclude     []string
	contentOnly bool
	json, quiet bool
	html        string
	workers     int
}

func newDiffCommand(a *app) *cobra.Command {
	var opts diffOptions
	cmd := &cobra.Command{
		Use:   "diff A B [flags]",
		Short: "Compare two disk images",
		Long: `Compare two disk images of any formats: container, partition table, the fields of
the file systems, and their files. Files are those that only one image has, and of
others which of type, mode, owner, times, links, device, xattrs, content, layout
(the same content in other blocks) and inode differ. What differs and is part of
nothing named is shown by its place.

EXIT STATUS
  0    there is no difference
  1    there are differences
  2    trouble: an image cannot be read, wrong usage
  130  interrupted (SIGINT); 143 if terminated (SIGTERM), 129 if hung up (SIGHUP)
`,
		Example: `  diskwright diff first/nixos.img second/nixos.img
  diskwright diff --content-only nixos.qcow2 nixos.img
  diskwright diff --exclude '/var/log/*' --json a.img b.img
  diskwright diff --html difference.html a.img b.img`,
		Args: arguments(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runDiff(cmd.Context(), opts, args[0], args[1])
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&opts.exclude, "exclude", nil, "do not compare paths that match `PATTERN` (*, ?, [a-z]; names if it has no slash), nor what is below them; may be repeated")
	flags.BoolVar(&opts.contentOnly, "content-only", false, "compare only which files there are and what they hold")
	flags.BoolVar(&opts.json, "json", false, "write the result as JSON to standard output, and everything else as JSON lines to standard error")
	flags.BoolVarP(&opts.quiet, "quiet", "q", false, "show nothing but warnings and errors: the exit status tells")
	flags.StringVar(&opts.html, "html", "", "write a page that shows both images to `FILE`, and no table")
	flags.IntVar(&opts.workers, "workers", 0, "use `N` threads to read (default one for each CPU)")
	cmd.SetUsageFunc(groupedUsage)
	return cmd
}

func (a *app) runDiff(ctx context.Context, opts diffOptions, pathA, pathB string) error {
	result, err := a.compare(ctx, opts, pathA, pathB)
	if err != nil {
		return statusError{exitTrouble, err}
	}
	if opts.html == "" && (!opts.quiet || opts.json) {
		if err := a.ui.result(result, func(w io.Writer) error { return printDiff(w, result) }); err != nil {
			return statusError{exitTrouble, err}
		}
	}
	if !result.Same() {
		return statusError{exitDifferent, nil}
	}
	return nil
}

func (a *app) compare(ctx context.Context, opts diffOptions, pathA, pathB string) (*diff.Result, error) {
	if opts.html != "" && opts.json {
		return nil, usageError{errors.New("--html and --json are two results: want one of them")}
	}
	work := workOptions{json: opts.json, quiet: opts.quiet, workers: opts.workers}
	if err := work.check(); err != nil {
		return nil, err
	}
	a.begin(work)
	sink := a.ui.startProgress()
	progress.Phase(sink, "opening", 0)
	imgA, err := inspect.Open(pathA)
	if err != nil {
		return nil, fmt.Errorf("cannot open the image: %w", err)
	}
	defer imgA.Close()
	imgB, err := inspect.Open(pathB)
	if err != nil {
		return nil, fmt.Errorf("cannot open the image: %w", err)
	}
	defer imgB.Close()
	result, err := diff.Images(ctx, imgA, imgB, diff.Options{
		Exclude: opts.exclude, ContentOnly: opts.contentOnly, Workers: opts.workers, Progress: sink,
	})
	a.ui.endProgress()
	if err != nil || opts.html == "" {
		return result, err
	}
	if err := writePage(opts.html, func(w io.Writer) error { return result.WriteHTML(w, imgA, imgB) }); err != nil {
		return nil, err
	}
	a.ui.printf("the page is %s", show(opts.html))
	return result, nil
}

// printDiff shows the differences: "-" is of the first image, "+" of the second.
func printDiff(w io.Writer, r *diff.Result) error {
	t := newTable(w)
	where := ""
	for _, f := range r.Fields {
		if f.Where != where {
			where = f.Where
			t.heading("%s", strings.ToUpper(where))
		}
		t.line("  %s\t%s\t->\t%s", f.Name, showValue(f.A), showValue(f.B))
	}
	for n := range r.FileSystems {
		fs := &r.FileSystems[n]
		printPackages(t, fs)
		headed := false
		for _, f := range fs.Files {
			if fs.StorePath(f) != "" {
				continue // its package was shown
			}
			if !headed {
				t.heading("FILES OF %s %s", strings.ToUpper(fs.Type), inPartition(fs.Partition))
				headed = true
			}
			printFileDiff(t, f)
		}
	}
	if len(r.Bytes) > 0 {
		t.heading("OTHER BYTES")
	}
	for _, b := range r.Bytes {
		t.line("  %s\t%s\t%d blocks of %d\tfirst at byte %d", b.Where, b.What, b.Count, b.Size, b.Offset)
	}
	return t.flush()
}

// printPackages shows the store paths that only one of the images has.
func printPackages(t *table, fs *diff.FileSystem) {
	if len(fs.Packages) == 0 {
		return
	}
	t.heading("PACKAGES %s", inPartition(fs.Partition))
	sizeA, sizeB := int64(0), int64(0)
	for _, p := range fs.Packages {
		sizeA += p.SizeA
		sizeB += p.SizeB
		var versions, sizes string
		switch p.Change {
		case diff.Added:
			versions, sizes = versionsOf(p.VersionsB), progress.Bytes(p.SizeB)
		case diff.Removed:
			versions, sizes = versionsOf(p.VersionsA), progress.Bytes(p.SizeA)
		case diff.Rebuilt:
			versions, sizes = versionsOf(p.VersionsB), progress.Bytes(p.SizeA)+" -> "+progress.Bytes(p.SizeB)
		default:
			versions = versionsOf(p.VersionsA) + " -> " + versionsOf(p.VersionsB)
			sizes = progress.Bytes(p.SizeA) + " -> " + progress.Bytes(p.SizeB)
		}
		t.line("  %s\t%s\t%s\t%s", p.Change, p.Name, versions, sizes)
	}
	t.flush()
	t.line("  all of them: %s -> %s", progress.Bytes(sizeA), progress.Bytes(sizeB))
}

func versionsOf(list []string) string {
	return strings.Trim(strings.Join(list, ", "), ", ")
}

func printFileDiff(t *table, f diff.File) {
	name := showName(f.Name)
	switch f.Only {
	case "a":
		t.line("- %s (%s, %s)", name, f.Type, progress.Bytes(f.Size))
		return
	case "b":
		t.line("+ %s (%s, %s)", name, f.Type, progress.Bytes(f.Size))
		return
	}
	t.line("~ %s", name)
	for _, c := range f.Changes {
		at := ""
		if c.Offset != nil {
			at = fmt.Sprintf(", first at byte %d", *c.Offset)
		}
		t.line("    %s: %s -> %s%s", c.Kind, showValue(c.A), showValue(c.B), at)
		for line := range strings.Lines(c.Text) {
			t.line("      %s", strings.TrimRight(strings.ReplaceAll(line, "\t", "        "), "\n"))
		}
	}
}

// showValue shows a value that one of the images may not have.
func showValue(v string) string {
	if v == "" {
		return "nothing"
	}
	if strings.ContainsAny(v, "\n\t\x1b") {
		return show(v)
	}
	return v
}
