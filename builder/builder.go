// Package builder turns a spec into finished outputs. It is the only package
// that knows all the others.
//
//	spec ──► tree ──► plan ──► disk maps ──► encoder ──► files
//	           │        │
//	           │        └ the layouts, one tree for each file system
//	           └ root, contents, a NixOS system, configFile
//
// [New] does everything up to the disk maps: it reads the metadata of the
// sources, lays out the disks, plans each file system, and reads no content but
// of a NixOS system what it needs to know, and for a ZFS pool all, to sum it. What
// it returns knows every byte of the disks; [Build.WriteDir] and [Build.Stream]
// write them, any number of times.
//
// Most builds have one disk. The builder zfs has two, a boot disk and a root disk:
// whatever there is for each disk is in the order of [Report.All].
package builder

import (
	"context"
	"io"
	"os"
	"time"

	"diskwright/diskmap"
	"diskwright/format"
	"diskwright/progress"
	"diskwright/spec"
)

// Options say how to build; they have no influence on a single byte of the
// image.
type Options struct {
	Workers  int           // goroutines that read and write; 0 is one for each CPU
	Progress progress.Sink // may be nil
	NoSync   bool          // do not wait until the output is on the disk

	// Spool is the directory for the uncompressed copy of tars that cannot be
	// read in place, for the disk of a virtual machine, and for the blocks of a ZFS
	// pool. "" is that for temporary files; then what a pool needs is compressed
	// twice instead. Copies have no names and go with the process, but that a raw
	// image with a pool begins as one.
	Spool string

	// Stdin is the source of a root named "-".
	Stdin io.Reader

	// ScriptOutput gets what the script of the parameter postVM prints; nil
	// is nobody.
	ScriptOutput io.Writer

	// GuestBinary is this program for the virtual machine of the parameter
	// installMethod; "" is the one that runs. GuestOutput gets what is printed
	// there; nil is nobody.
	GuestBinary string
	GuestOutput io.Writer

	// PlanOnly says that the image will not be read. No virtual machine is
	// started; the plan lacks what it would have installed.
	PlanOnly bool
}

// Build is a planned image.
type Build struct {
	// Report says what the image is.
	Report Report

	spec     *spec.Spec
	disks    []*diskmap.Map
	format   *format.Encoder
	identify identity // of the disks and of what is around them
	// efiVars is the file with the firmware's variables, nil if there is none.
	efiVars []byte
	opts    Options
	spool   []io.Closer
	// begun is the spool with the part of the last disk that is there already, if
	// it can become the image.
	begun *os.File
}

// New reads the sources of s, which must be valid, and plans the image.
// Nothing is written but the spool. The caller closes the build.
func New(ctx context.Context, s *spec.Spec, opts Options) (*Build, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	encoder, err := s.Encoder()
	if err != nil {
		return nil, err
	}
	b := &Build{spec: s, opts: opts, format: encoder}
	if err := b.plan(ctx); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (b *Build) plan(ctx context.Context) error {
	progress.Phase(b.opts.Progress, "reading tree", 0)
	sources, err := b.read(ctx)
	if err != nil {
		return err
	}
	p := newPlanner(b.spec, b.format, sources, b.Report)
	p.workers, p.spoolPool = b.opts.Workers, b.spoolPool
	switch {
	case !b.spec.InstallsInVM():
		return b.planDisk(ctx, p)
	case b.opts.PlanOnly:
		p.note("%s: what the system's own installer adds to the files is known when it has run, which a plan does without", b.spec.Called("installMethod"))
		return b.planDisk(ctx, p)
	default:
		return b.planInVM(ctx, p)
	}
}

// planDisk plans the disks of a planner.
func (b *Build) planDisk(ctx context.Context, p *planner) error {
	progress.Phase(b.opts.Progress, "planning", 0)
	var err error
	b.disks, err = await(ctx, func() ([]*diskmap.Map, error) { return p.plan(ctx) })
	if err != nil {
		return err
	}
	b.Report, b.efiVars, b.identify = p.report, p.efiVars, p.identify
	for i, d := range b.Report.All() {
		d.DataBytes = b.disks[i].DataSize()
	}
	return nil
}

// patience is how long a computation may go on that is not wanted any more: long
// enough to remove the temporary files of a program that it has run.
const patience = 2 * time.Second

// await returns what f returns; or the cause why ctx is done, soon after it is.
// Then f, if it has not noticed, is left to come to its end.
func await[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := f()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		select {
		case <-done:
		case <-time.After(patience):
		}
		var none T
		return none, context.Cause(ctx)
	}
}

// Map returns the disk, or if there are several the one with the root file system.
func (b *Build) Map() *diskmap.Map { return b.disks[len(b.disks)-1] }

// Maps returns the disks.
func (b *Build) Maps() []*diskmap.Map { return b.disks }

// Close gives back what the build holds: open tars and the spool.
func (b *Build) Close() error {
	var first error
	for _, c := range b.spool {
		if err := c.Close(); first == nil {
			first = err
		}
	}
	b.spool = nil
	return first
}
