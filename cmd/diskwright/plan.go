package main

import (
	"context"
	"io"

	"diskwright/builder"

	"github.com/spf13/cobra"
)

type planOptions struct {
	workOptions
	parameters parameterFlags
}

func newPlanCommand(a *app) *cobra.Command {
	var opts planOptions
	cmd := &cobra.Command{
		Use:   "plan [SPEC] [flags]",
		Short: "Show what would be built",
		Long: `Show the disk image that build would make of SPEC and the flags: its size and
how that came about, its partitions, and its file systems and how full they are.
Nothing is written, and no file's content is read unless --verify-store or
--optimise-store ask for it, or the builder zfs, which sums all.
` + exitStatusHelp,
		Example: `  diskwright plan image.yaml
  diskwright plan --root ./rootfs --disk-size min --json`,
		Args:              arguments(cobra.MaximumNArgs(1)),
		ValidArgsFunction: completeSpec,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runPlan(cmd.Context(), opts, args)
		},
	}
	opts.workOptions.add(cmd, "where temporary files go")
	opts.parameters.add(cmd)
	cmd.SetUsageFunc(groupedUsage)
	return cmd
}

// runPlan plans the image and shows the plan.
func (a *app) runPlan(ctx context.Context, opts planOptions, args []string) error {
	a.begin(opts.workOptions)
	s, err := a.spec(opts.workOptions, &opts.parameters, args)
	if err != nil {
		return err
	}
	options := a.options(opts.workOptions)
	options.PlanOnly = true
	build, err := builder.New(ctx, s, options)
	if err != nil {
		return err
	}
	defer build.Close()
	a.ui.endProgress()
	return a.ui.result(build.Report, func(w io.Writer) error { return printReport(w, &build.Report) })
}
