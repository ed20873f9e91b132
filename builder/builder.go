// Package builder turns a spec into finished outputs. It is the only package
// that knows all the others.
//
//	spec ──► tree ──► plan ──► disk map ──► encoder
//
// [New] does everything up to the disk map: it reads the metadata of the
// sources, lays out the disk, plans each file system, and reads no content.
// What it returns knows every byte of the disk; [Build.WriteDir] and
// [Build.Stream] write them, any number of times.
package builder

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"diskwright/atomicfile"
	"diskwright/diskmap"
	"diskwright/format/raw"
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
	// read in place; "" is that for temporary files. The copy has no name and
	// goes with the process.
	Spool string

	// Stdin is the source of a root named "-".
	Stdin io.Reader
}

// Build is a planned image.
type Build struct {
	// Report says what the image is.
	Report Report

	disk  *diskmap.Map
	opts  Options
	spool []io.Closer
}

// New reads the sources of s, which must be valid, and plans the image.
// Nothing is written but the spool. The caller closes the build.
func New(ctx context.Context, s *spec.Spec, opts Options) (*Build, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	b := &Build{opts: opts}
	if err := b.plan(ctx, s); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (b *Build) plan(ctx context.Context, s *spec.Spec) error {
	progress.Phase(b.opts.Progress, "reading tree", 0)
	root, err := b.readTree(ctx, s)
	if err != nil {
		return err
	}
	progress.Phase(b.opts.Progress, "planning", 0)
	p := newPlanner(s, root)
	if b.disk, err = p.plan(); err != nil {
		return err
	}
	p.report.DataBytes = b.disk.DataSize()
	p.report.SpoolBytes = b.Report.SpoolBytes
	b.Report = p.report
	return ctx.Err()
}

// Map returns the disk.
func (b *Build) Map() *diskmap.Map { return b.disk }

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

// Stream writes the image to w, from the first byte to the last.
func (b *Build) Stream(ctx context.Context, w io.Writer) error {
	progress.Phase(b.opts.Progress, "writing", b.disk.Size())
	return raw.WriteStream(ctx, b.disk, w, b.rawOptions())
}

// WriteDir writes the image into the directory dir, which is made if it is
// missing, and returns the paths of the files. A file that was there before is
// replaced once the new one is complete. After an error there is nothing that
// was not there before.
func (b *Build) WriteDir(ctx context.Context, dir string) (files []string, err error) {
	made, err := makeDir(dir)
	defer func() {
		if err != nil {
			for _, d := range made {
				os.Remove(d) // unless somebody else has put something there
			}
		}
	}()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, b.Report.File)
	if err := b.writeFile(ctx, path); err != nil {
		return nil, err
	}
	return []string{path}, nil
}

func (b *Build) writeFile(ctx context.Context, path string) error {
	progress.Phase(b.opts.Progress, "writing", b.disk.DataSize())
	f, err := atomicfile.Create(path, atomicfile.Options{NoSync: b.opts.NoSync})
	if err != nil {
		return err
	}
	defer f.Abort()
	if err := raw.WriteFile(ctx, b.disk, f.File, b.rawOptions()); err != nil {
		return err
	}
	return f.Commit()
}

func (b *Build) rawOptions() raw.Options {
	return raw.Options{Workers: b.opts.Workers, Progress: progress.Adder(b.opts.Progress)}
}

// makeDir makes dir and the directories above it that are missing. It returns
// those that it made, the deepest first, which is what an error has to remove.
func makeDir(dir string) (made []string, err error) {
	dir = filepath.Clean(dir)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
		if made, err = makeDir(filepath.Dir(dir)); err != nil {
			return made, err
		}
	}
	switch err := os.Mkdir(dir, 0o755); {
	case err == nil:
		return append([]string{dir}, made...), nil
	case isDir(dir): // it was there, or somebody was faster
		return made, nil
	default:
		return made, err
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
