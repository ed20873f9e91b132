// Command diskwright turns a root tree into a partitioned disk image.
//
// This package only parses arguments, calls the packages that do the work, and
// shows what they say: a file a command (build.go, plan.go, inspect.go), the
// user interface in ui.go, the parameters' flags in parameters.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"diskwright/spec"
	"diskwright/vm/guest"

	"github.com/spf13/cobra"
)

// Exit statuses. A signal ends with 128 and its number.
const (
	exitOK      = 0
	exitFailure = 1 // something that was asked for could not be done
	exitUsage   = 2 // what was asked for makes no sense: arguments, or the specification
)

const exitStatusHelp = `
EXIT STATUS
  0    success
  1    failure: a file cannot be read, the content does not fit, …
  2    wrong usage, or a wrong specification (all problems are shown)
  130  interrupted (SIGINT); 143 if terminated (SIGTERM), 129 if hung up (SIGHUP)

After a failure or an interruption no output is left behind that was not there
before.
`

// Nearly all of the heap is the tree, which stays until the end, so that Go's
// usual growth by 100 % before garbage is collected would double the memory for
// little. But 20 % of a small heap are collected every few milliseconds. Memory
// that nobody touches, and that therefore takes none, counts as heap: then it is
// 20 % of the tree and 13 MiB.
const (
	heapGrowth  = 20
	heapBallast = 64 << 20
)

func main() {
	if guest.Running() { // in a virtual machine of our own
		guest.Main()
	}
	var ballast []byte
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
		ballast = make([]byte, heapBallast)
	}
	status := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	runtime.KeepAlive(ballast)
	os.Exit(status)
}

// run is main with its surroundings as arguments.
func run(args []string, stdin, stdout, stderr *os.File) int {
	ctx, stop := withSignals(context.Background())
	defer stop()
	ui := newUI(stdout, stderr)
	a := &app{ui: ui, script: scriptOutput{ui: ui}, guest: scriptOutput{ui: ui}, stdin: interruptible(ctx, stdin), stdinTerminal: isTerminal(stdin)}
	root := newRootCommand(a)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	a.ui.endProgress()
	return a.exit(ctx, err)
}

// app is what the commands share.
type app struct {
	ui            *ui
	script        scriptOutput
	guest         scriptOutput
	stdin         io.Reader
	stdinTerminal bool
	running       bool // the arguments were accepted, and a command has begun

	logMu sync.Mutex // of what is said from several goroutines
}

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "diskwright",
		Short: "Turn a root tree or a NixOS system into a partitioned disk image",
		Long: `Diskwright turns a directory, a tar or a NixOS system into a bootable-layout disk
image: partition table, ext4 root, FAT boot partitions. It needs no root, no
virtual machine and no other program, and makes the same bytes every time.
` + exitStatusHelp,
		Example: `  diskwright plan --root ./rootfs --partition-table-type efi
  diskwright build image.yaml -o out
  diskwright inspect out/nixos.img`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withHint(usageError{errors.New("no command")}, `see "diskwright --help"`)
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return withHint(usageError{err}, fmt.Sprintf(`see "%s --help"`, cmd.CommandPath()))
	})
	root.AddCommand(newBuildCommand(a), newPlanCommand(a), newInspectCommand(a), newConvertCommand(a), newLsCommand(a), newCatCommand(a), newExtractCommand(a), newMkfsCommand(a), newTarCommand(a), newDiffCommand(a), newDuCommand(a), newServeCommand(a), newVerifyCommand(a))
	return root
}

// statusError ends the program with a status of its own: of commands that
// answer a question with it. There is nothing to show if it has no error.
type statusError struct {
	status int
	error
}

func (e statusError) Error() string {
	if e.error == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.error.Error()
}

func (e statusError) Unwrap() error { return e.error }

// usageError is an error in what was asked for.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// exit shows the error, if there is one, and returns the exit status.
func (a *app) exit(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	var caught signalError
	if errors.As(context.Cause(ctx), &caught) {
		a.ui.errorf("%v", caught)
		return 128 + int(caught.signal)
	}
	if !a.running {
		err = withUsageHint(err)
	}
	var ended statusError
	if errors.As(err, &ended) && ended.error == nil {
		return ended.status
	}
	a.ui.showError(err)
	if ended.status != 0 {
		return ended.status
	}
	var usage usageError
	var problems spec.Problems
	if !a.running || errors.As(err, &usage) || errors.As(err, &problems) {
		return exitUsage
	}
	return exitFailure
}

// withUsageHint makes hints of what cobra puts below an unknown command.
func withUsageHint(err error) error {
	if errors.As(err, new(hintError)) {
		return err
	}
	message, below, _ := strings.Cut(err.Error(), "\n")
	var hints []string
	for line := range strings.Lines(below) {
		if name, ok := strings.CutPrefix(line, "\t"); ok {
			hints = append(hints, fmt.Sprintf("did you mean %q?", strings.TrimSpace(name)))
		}
	}
	return withHint(usageError{errors.New(message)}, append(hints, `see "diskwright --help"`)...)
}

// signalError is the cause of a context that a signal has cancelled.
type signalError struct{ signal syscall.Signal }

func (e signalError) Error() string {
	if e.signal == syscall.SIGINT {
		return "interrupted"
	}
	return "stopped by a signal: " + e.signal.String()
}

// withSignals returns a context that the first SIGINT, SIGTERM or SIGHUP
// cancels, so that everybody can clean up. The second one ends the process at
// once. What the process was started to ignore stays ignored.
func withSignals(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) { // nohup and the like
			signal.Notify(signals, s)
		}
	}
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			cancel(signalError{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// arguments wraps a check of positional arguments, so that its error is one of
// usage and says where to read on.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return withHint(usageError{err}, fmt.Sprintf(`see "%s --help"`, cmd.CommandPath()))
		}
		return nil
	}
}
