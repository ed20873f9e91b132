package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"diskwright/diskmap"
	"diskwright/format"
	"diskwright/nbd"
	"diskwright/progress"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

type serveOptions struct {
	workOptions
	parameters parameterFlags
	guest      guestOptions
	unix, tcp  string
	name       string
}

// serveResult is what serve --json writes when it begins to listen.
type serveResult struct {
	URI      string `json:"uri"`
	DiskSize int64  `json:"diskSize"`
}

func newServeCommand(a *app) *cobra.Command {
	var opts serveOptions
	cmd := &cobra.Command{
		Use:   "serve [SPEC|IMAGE] [flags] --unix PATH|--tcp HOST:PORT",
		Short: "Serve a disk to QEMU and other NBD clients, without writing it",
		Long: `Serve the disk that SPEC and the flags ask for, or that is in IMAGE, to clients of
the network block device protocol: it boots, or is copied, without ever having been
written. A file whose name ends with .yaml, .yml or .json, or - for standard input,
is a SPEC; anything else is an IMAGE, of any format.

The disk is read-only. Clients come by a socket in the file system, or by TCP from
the same machine. The address is shown when clients may come. Serving ends with a
signal (Ctrl-C), which is no failure; what was asked before is answered first.
` + exitStatusHelp,
		Example: `  diskwright serve image.yaml --unix /tmp/disk
  qemu-system-x86_64 -m 1G -drive 'file=nbd+unix:///?socket=/tmp/disk,format=raw,snapshot=on'
  diskwright serve nixos.qcow2 --tcp localhost:10809
  nbdcopy nbd://localhost copy.img`,
		Args:              arguments(cobra.MaximumNArgs(1)),
		ValidArgsFunction: completeSpec,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runServe(cmd.Context(), opts, cmd.Flags(), args)
		},
	}
	cmd.Flags().StringVar(&opts.unix, "unix", "", "listen on a socket at `PATH`, which must not exist")
	cmd.Flags().StringVar(&opts.tcp, "tcp", "", "listen on `HOST:PORT`, where HOST is localhost or an address of the loopback interface; port 0 is any free one, 10809 the usual one")
	cmd.Flags().StringVar(&opts.name, "export", "", "`NAME` of the export, besides the empty one")
	opts.workOptions.add(cmd, "where temporary files go")
	opts.guest.add(cmd)
	opts.parameters.add(cmd)
	cmd.SetUsageFunc(groupedUsage)
	return cmd
}

func (a *app) runServe(ctx context.Context, opts serveOptions, flags *pflag.FlagSet, args []string) error {
	a.begin(opts.workOptions)
	if (opts.unix == "") == (opts.tcp == "") {
		return withHint(usageError{errors.New("where to listen must be one of --unix and --tcp")}, "give a path with --unix PATH")
	}
	disk, closeDisk, err := a.diskToServe(ctx, opts, flags, args)
	if err != nil {
		return err
	}
	defer closeDisk()
	a.ui.endProgress()
	l, err := opts.listen()
	if err != nil {
		return err
	}
	result := serveResult{URI: opts.uri(l.Addr()), DiskSize: disk.Size()}
	err = a.ui.result(result, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "a disk of %s is at %s\n", progress.Bytes(result.DiskSize), result.URI)
		return err
	})
	if err != nil {
		l.Close()
		return err
	}
	err = nbd.Serve(ctx, l, disk, nbd.Options{Name: opts.name, Description: "diskwright", Log: a.logClient})
	if errors.As(err, new(signalError)) {
		return nil
	}
	return err
}

// diskToServe returns the disk of an image, or that a specification asks for.
func (a *app) diskToServe(ctx context.Context, opts serveOptions, flags *pflag.FlagSet, args []string) (*diskmap.Map, func() error, error) {
	if len(args) == 0 || isSpec(args[0]) {
		s, err := a.spec(opts.workOptions, &opts.parameters, args)
		if err != nil {
			return nil, nil, err
		}
		if n := len(s.Roles()); n > 1 {
			return nil, nil, usageError{fmt.Errorf("%s: %d disks cannot be served as one; build them and serve their images", s.Called("disks"), n)}
		}
		build, err := a.plan(ctx, s, a.options(opts.workOptions), opts.guest)
		if err != nil {
			return nil, nil, err
		}
		return build.Map(), build.Close, nil
	}
	if name := changedParameter(flags); name != "" {
		return nil, nil, usageError{fmt.Errorf("--%s: an image is served as it is; parameters are for a SPEC", name)}
	}
	progress.Phase(a.ui.startProgress(), "opening", 0)
	image, err := format.OpenFile(ctx, args[0], format.OpenOptions{Spool: opts.spool})
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open the image: %w", err)
	}
	disk, err := image.Map()
	if err != nil {
		image.Close()
		return nil, nil, fmt.Errorf("cannot read the image: %q: %w", args[0], err)
	}
	return disk, image.Close, nil
}

func isSpec(path string) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return path == standardInput
}

// changedParameter returns the name of a flag of a parameter that was given.
func changedParameter(flags *pflag.FlagSet) (name string) {
	flags.Visit(func(f *pflag.Flag) {
		if len(f.Annotations[groupAnnotation]) > 0 {
			name = f.Name
		}
	})
	return name
}

func (o *serveOptions) listen() (net.Listener, error) {
	if o.unix != "" {
		l, err := net.Listen("unix", o.unix)
		if err != nil {
			return nil, fmt.Errorf("--unix: %w", err)
		}
		return l, nil
	}
	addr, err := net.ResolveTCPAddr("tcp", o.tcp)
	switch {
	case err != nil:
		return nil, usageError{fmt.Errorf("--tcp: %w", err)}
	case !addr.IP.IsLoopback():
		return nil, usageError{fmt.Errorf("--tcp: %q is not of the loopback interface: NBD asks nobody who he is; take localhost, and ssh -L for other machines", o.tcp)}
	}
	l, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--tcp: %w", err)
	}
	return l, nil
}

// uri returns the address as clients take it (doc/uri.md of the NBD project).
func (o *serveOptions) uri(addr net.Addr) string {
	name := (&url.URL{Path: "/" + o.name}).EscapedPath()
	if o.unix == "" {
		return "nbd://" + addr.String() + name
	}
	return "nbd+unix://" + name + "?socket=" + (&url.URL{Path: o.unix}).EscapedPath()
}

// logClient says why a connection has ended. It is called from many goroutines.
func (a *app) logClient(client string, err error) {
	a.logMu.Lock()
	defer a.logMu.Unlock()
	if client == "" {
		client = "accepting a connection"
	}
	a.ui.warningf("%s: %v", client, err)
}
