package main

import (
	"context"
	"errors"
	"fmt"

	"diskwright/builder"
	"diskwright/spec"

	"github.com/spf13/cobra"
)

// guestOptions are those of commands that may start a virtual machine.
type guestOptions struct{ binary string }

func (o *guestOptions) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.binary, "guest-binary", "", "`FILE` with this program for the virtual machine of --install-method vm (default: this very one)")
}

// plan plans the image. What a virtual machine's programs print is shown, but with
// -q: if one fails, what it said is in the error.
func (a *app) plan(ctx context.Context, s *spec.Spec, options builder.Options, guest guestOptions) (*builder.Build, error) {
	options.GuestBinary = guest.binary
	if !a.ui.quiet {
		options.GuestOutput = &a.guest
	}
	build, err := builder.New(ctx, s, options)
	a.guest.flush()
	var program *builder.GuestError
	if errors.As(err, &program) {
		err = withHint(err, fmt.Sprintf("give one with --guest-binary; CGO_ENABLED=0 GOOS=linux GOARCH=%s go build ./cmd/diskwright makes it", program.GOARCH))
	}
	return build, err
}
