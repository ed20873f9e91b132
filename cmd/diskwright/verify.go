package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"unicode"

	"diskwright/inspect/verify"

	"github.com/spf13/cobra"
)

// Exit statuses of verify.
const exitFindings = 1

type verifyOptions struct {
	noNAR       bool
	json, quiet bool
	workers     int
}

func newVerifyCommand(a *app) *cobra.Command {
	var opts verifyOptions
	cmd := &cobra.Command{
		Use:   "verify IMAGE [flags]",
		Short: "Check everything in a disk image",
		Long: `Check a disk image of any format: the tables of its container, its partition
table, and its file systems as e2fsck -f -n and fsck.vfat -n do. In one with a Nix
store check the database, the hash of each store path, and profiles; and that
boot entries name files that exist. Nothing is changed, and nothing ends the check
early: all that is wrong is shown, with where it is.

EXIT STATUS
  0    nothing is wrong
  1    something is, or the image cannot be read
  2    wrong usage
  130  interrupted (SIGINT); 143 if terminated (SIGTERM), 129 if hung up (SIGHUP)
`,
		Example: `  diskwright verify out/nixos.img
  diskwright verify --no-nar disk.qcow2
  diskwright verify --json /dev/sda`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runVerify(cmd.Context(), opts, args[0])
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&opts.noNAR, "no-nar", false, "do not hash store paths: no content of files is read")
	flags.BoolVar(&opts.json, "json", false, "write the result as JSON to standard output, and everything else as JSON lines to standard error")
	flags.BoolVarP(&opts.quiet, "quiet", "q", false, "show nothing but errors: the exit status tells")
	flags.IntVar(&opts.workers, "workers", 0, "use `N` threads to hash (default two for each CPU)")
	cmd.SetUsageFunc(groupedUsage)
	return cmd
}

func (a *app) runVerify(ctx context.Context, opts verifyOptions, image string) error {
	work := workOptions{json: opts.json, quiet: opts.quiet, workers: opts.workers}
	if err := work.check(); err != nil {
		return err
	}
	a.begin(work)
	result, err := verify.File(ctx, image, verify.Options{NoNAR: opts.noNAR, Workers: opts.workers, Progress: a.ui.startProgress()})
	a.ui.endProgress()
	if err != nil {
		return fmt.Errorf("cannot verify the image: %w", err)
	}
	if !opts.quiet || opts.json {
		if err := a.ui.result(result, func(w io.Writer) error { return printVerification(w, result) }); err != nil {
			return err
		}
	}
	if !result.OK {
		return statusError{exitFindings, nil}
	}
	return nil
}

// printVerification shows what was checked, and what is wrong with it.
func printVerification(w io.Writer, r *verify.Result) error {
	t := newTable(w)
	wrong := make(map[string]bool)
	for _, f := range r.Findings {
		wrong[f.Area] = true
	}
	for _, area := range r.Checked {
		verdict := "good"
		if wrong[area] {
			verdict = "DAMAGED"
		}
		t.line("%s\t%s", area, verdict)
	}
	for _, skipped := range r.Skipped {
		t.line("not checked\t%s", plain(skipped))
	}
	t.flush()
	area := ""
	for _, f := range r.Findings {
		if f.Area != area {
			area = f.Area
			t.heading("%s", area)
		}
		t.line("  %s", plain(f.Finding.String()))
		if f.Omitted > 0 {
			t.line("  ... and %d more of the kind %s", f.Omitted, f.Kind)
		}
	}
	return t.flush()
}

// plain replaces what would not stay in its line.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}
