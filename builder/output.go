package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"diskwright/atomicfile"
	"diskwright/format"
	"diskwright/format/block"
	"diskwright/progress"
)

// Stream writes the image to w, from the first byte to the last. There is no
// output directory then, and nothing that could be in one beside the image.
func (b *Build) Stream(ctx context.Context, w io.Writer) error {
	if name := b.spec.NeedsDirectory(); name != "" {
		return fmt.Errorf("%s: there is no output directory when the image is written to a stream", b.spec.Called(name))
	}
	disk := b.Map()
	progress.Phase(b.opts.Progress, "writing", disk.Size())
	return b.encoder("", b.Report.Disk.Role).WriteStream(ctx, disk, w)
}

// WriteDir writes the image and what belongs to it into the directory dir,
// which is made if it is missing, and returns the paths of the files. A file
// that was there before is replaced once the new one is complete. Then it runs
// the script of the parameter postVM. After an error everything is as it was
// before.
func (b *Build) WriteDir(ctx context.Context, dir string) (files []string, err error) {
	o := &output{build: b, dir: filepath.Clean(dir)}
	defer func() {
		if err != nil {
			o.remove()
		}
		for _, replaced := range o.replaced {
			if err != nil {
				replaced.Restore()
			} else {
				replaced.Drop()
			}
		}
	}()
	if o.made, err = makeDir(o.dir); err != nil {
		return nil, err
	}
	if o.absolute, err = filepath.Abs(o.dir); err != nil {
		return nil, err
	}
	if err := o.writeImages(ctx); err != nil {
		return nil, err
	}
	if err := o.writeEFIVars(); err != nil {
		return nil, err
	}
	if b.spec.HydraBuildProducts {
		if err := o.writeHydraBuildProducts(); err != nil {
			return nil, err
		}
	}
	if err := o.syncMade(); err != nil {
		return nil, err
	}
	if b.spec.PostVM != "" {
		if err := o.runPostVM(ctx); err != nil {
			return nil, err
		}
	}
	return o.present(), nil
}

// output is an output directory, and what a build has put there so far.
type output struct {
	build    *Build
	dir      string   // as it was given
	absolute string   // what scripts and Hydra know it by
	made     []string // directories that had to be made, the deepest first
	efiVars  string   // in absolute; empty if there is none
	files    []string // complete
	replaced []*atomicfile.Backup
	scripted bool // a script has begun, which may have put anything there
}

// writeImages writes the image of each disk. They appear together, when all are
// complete.
func (o *output) writeImages(ctx context.Context) error {
	b := o.build
	total := int64(0)
	for _, d := range b.Report.All() {
		total += d.DataBytes
	}
	progress.Phase(b.opts.Progress, "writing", total)
	var images []*atomicfile.File
	for i, d := range b.Report.All() {
		var begun *os.File
		if i == len(b.disks)-1 {
			begun = b.begun
		}
		f, err := o.create(filepath.Join(o.dir, d.File), begun)
		if err != nil {
			return err
		}
		defer f.Abort()
		if err := b.encoder(o.dir, d.Role).Write(ctx, b.disks[i], f.File); err != nil {
			return err
		}
		if len(b.disks) > 1 && !b.opts.NoSync { // so that appearing takes no time
			if err := f.Sync(); err != nil {
				return err
			}
		}
		images = append(images, f)
	}
	return o.commit(images...)
}

// encoder returns what writes the disk with a role in the format that was asked for.
// Dir is where what it has to write twice goes in between.
func (b *Build) encoder(dir, role string) *format.Encoder {
	return b.format.With(block.Options{
		Workers:  b.opts.Workers,
		Progress: progress.Adder(b.opts.Progress),
		Identify: b.identify.disk(role),
		Time:     time.Unix(b.Report.Epoch, 0),
	}, dir)
}

// hydraBuildProducts is where Hydra looks for what a build has made.
const hydraBuildProducts = "nix-support/hydra-build-products"

// writeHydraBuildProducts tells Hydra of the images, in the words of the
// reference.
func (o *output) writeHydraBuildProducts() error {
	path := filepath.Join(o.dir, hydraBuildProducts)
	made, err := makeDir(filepath.Dir(path))
	o.made = append(made, o.made...)
	if err != nil {
		return err
	}
	return o.write(path, nil, func(f *os.File) error {
		for _, d := range o.build.Report.All() {
			_, err := fmt.Fprintf(f, "file %s-image %s\n", o.build.spec.HydraFormat(), filepath.Join(o.absolute, d.File))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// write makes the file at path, which appears when it is complete. Begun is what is
// there of it already, or nil.
func (o *output) write(path string, begun *os.File, write func(f *os.File) error) error {
	f, err := o.create(path, begun)
	if err != nil {
		return err
	}
	defer f.Abort()
	if err := write(f.File); err != nil {
		return err
	}
	return o.commit(f)
}

// create begins the file at path, which calls itself so.
func (o *output) create(path string, begun *os.File) (*atomicfile.File, error) {
	return atomicfile.Create(path, atomicfile.Options{NoSync: o.build.opts.NoSync, From: begun})
}

// commit makes complete files appear.
func (o *output) commit(files ...*atomicfile.File) error {
	for _, f := range files {
		if old := atomicfile.Keep(f.Name()); old != nil {
			o.replaced = append(o.replaced, old)
		}
		if err := f.Commit(); err != nil {
			return err // and what is at its path is from before
		}
		o.files = append(o.files, f.Name())
	}
	return nil
}

// syncMade makes the names of new directories safe on the disk.
func (o *output) syncMade() error {
	if o.build.opts.NoSync {
		return nil
	}
	for _, dir := range o.made {
		if err := atomicfile.SyncDir(filepath.Dir(dir)); err != nil {
			return fmt.Errorf("%q may not be on the disk: %w", dir, err)
		}
	}
	return nil
}

// present returns the files that are still there: a script may have given them
// other names.
func (o *output) present() []string {
	files := []string{}
	for _, file := range o.files {
		if _, err := os.Lstat(file); err == nil {
			files = append(files, file)
		}
	}
	return files
}

// remove removes what the build has put there. A directory that was not there
// before goes when it is empty, or if a script was at work, which is a part of
// the build, with everything in it.
func (o *output) remove() {
	for _, file := range o.files {
		os.Remove(file)
	}
	for _, dir := range o.made {
		if o.scripted && dir == o.dir {
			os.RemoveAll(dir)
		}
		os.Remove(dir) // unless somebody else has put something there
	}
}

// makeDir makes dir and the directories above it that are missing. It returns
// those that it made, the deepest first, which is what an error has to remove.
func makeDir(dir string) (made []string, err error) {
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
