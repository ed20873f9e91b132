package nixstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/tree"
)

// TreeOptions says how [Tree] reads a store.
type TreeOptions struct {
	// Workers is how many store objects are walked at the same time; 0 is
	// twice the number of CPUs.
	Workers int

	// KeepCaseHack keeps the suffixes that Nix gives, on macOS, to names
	// that differ in case only (its option use-case-hack). Elsewhere they
	// are parts of names in any case.
	KeepCaseHack bool
}

// Mtime is the modification time of all store objects and all in them.
var Mtime = tree.Time{Sec: 1}

const (
	modeDir        = tree.TypeDir | 0o555
	modePlain      = tree.TypeRegular | 0o444
	modeExecutable = tree.TypeRegular | 0o555
	modeSymlink    = tree.TypeSymlink | 0o777

	// ownerExecutes is the bit that decides whether a file is executable,
	// as for Nix.
	ownerExecutes = 0o100

	// caseHackSuffix is followed by a number.
	caseHackSuffix = "~nix~case~hack~"
)

// Tree returns a directory with the store objects of the closure, which are in
// the directory dir of the host (see [Store]). The directory's own metadata are
// the caller's to set.
//
// The result depends on what the NARs of the objects say only: modes, owners,
// times, extended attributes, hard links and holes are not those of the host.
// What a NAR cannot have (devices, sockets, FIFOs) is an error. Content is not
// read: see [tree.FromDir].
func Tree(ctx context.Context, c Closure, dir string, opts TreeOptions) (*tree.Inode, error) {
	o := &objects{opts: opts, undoCaseHack: runtime.GOOS == "darwin" && !opts.KeepCaseHack}
	store := &tree.Inode{Mode: modeDir, Mtime: Mtime, Entries: make([]tree.Entry, len(c))}
	err := parallel(ctx, len(c), opts.Workers, func(i int) error {
		path := c[i].Path
		inode, err := o.read(ctx, filepath.Join(dir, path.Base()))
		switch {
		case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, content.ErrChanged):
			return fmt.Errorf("%q is registered, but missing from %q", path, dir)
		case err != nil:
			return err
		}
		store.Entries[i] = tree.Entry{Name: path.Base(), Inode: inode}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return store, nil
}

// objects reads store objects.
type objects struct {
	opts         TreeOptions
	undoCaseHack bool
}

// read returns the store object at path of the host.
func (o *objects) read(ctx context.Context, path string) (*tree.Inode, error) {
	fi, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, withoutPath(err))
	}
	var inode *tree.Inode
	switch fi.Mode().Type() {
	case fs.ModeDir:
		none := []string{} // unlike nil, which is the default
		inode, err = tree.FromDir(ctx, path, tree.DirOptions{Xattrs: none, Workers: workersOf(o.opts.Workers)})
		if err != nil {
			return nil, err
		}
	case 0:
		inode = &tree.Inode{Mode: tree.TypeRegular | uint32(fi.Mode().Perm())}
		if fi.Size() > 0 {
			inode.Content = content.NewHostFile(nil, path, content.IdentityOf(fi))
		}
	case fs.ModeSymlink:
		target, err := os.Readlink(path)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", path, withoutPath(err))
		}
		inode = tree.NewSymlink(target, Mtime)
	default:
		return nil, unsupported(path)
	}
	return inode, o.canonicalise(inode, path)
}

// canonicalise makes of what the host shows at path what a NAR knows of it.
func (o *objects) canonicalise(i *tree.Inode, path string) error {
	i.UID, i.GID = 0, 0
	i.Mtime = Mtime
	i.Xattrs = nil
	i.Links = 1 // taken note of in directories: see separate
	switch i.Type() {
	case tree.TypeRegular:
		if i.Mode&ownerExecutes != 0 {
			i.Mode = modeExecutable
		} else {
			i.Mode = modePlain
		}
		if m, ok := i.Content.(*diskmap.Map); ok {
			i.Content = dense{m}
		}
	case tree.TypeSymlink:
		i.Mode = modeSymlink
	case tree.TypeDir:
		i.Mode = modeDir
		return o.canonicaliseDir(i, path)
	default:
		return unsupported(path)
	}
	return nil
}

func (o *objects) canonicaliseDir(dir *tree.Inode, path string) error {
	for n := range dir.Entries {
		e := &dir.Entries[n]
		separate(e)
		// Joined as FromDir does it; the path is for errors only.
		below := path
		if e.Inode.IsDir() || !e.Inode.IsRegular() && !e.Inode.IsSymlink() {
			below = path + "/" + e.Name
		}
		if err := o.canonicalise(e.Inode, below); err != nil {
			return err
		}
	}
	if o.undoCaseHack {
		return removeCaseHack(dir, path)
	}
	return nil
}

// separate gives a name an inode of its own if another name has it already:
// an optimised store has made hard links of files that are equal by chance.
func separate(e *tree.Entry) {
	if e.Inode.Links > 0 {
		twin := *e.Inode
		e.Inode = &twin
	}
}

// dense is content that has no holes: whether a host stores zeros or leaves
// them out must not be visible.
type dense struct{ content.Source }

// removeCaseHack removes the suffixes of names that Nix gave to them on a file
// system that does not tell upper case from lower.
func removeCaseHack(dir *tree.Inode, path string) error {
	found := false
	for n := range dir.Entries {
		e := &dir.Entries[n]
		if at := strings.Index(e.Name, caseHackSuffix); at >= 0 {
			e.Name, found = e.Name[:at], true
		}
	}
	if !found {
		return nil
	}
	slices.SortFunc(dir.Entries, func(a, b tree.Entry) int { return strings.Compare(a.Name, b.Name) })
	for n, e := range dir.Entries {
		if e.Name == "" {
			return fmt.Errorf("%q has a name that begins with %q", path, caseHackSuffix)
		}
		if n > 0 && dir.Entries[n-1].Name == e.Name {
			return fmt.Errorf("%q has several files called %q, without suffixes %q", path, e.Name, caseHackSuffix)
		}
	}
	return nil
}

func unsupported(path string) error {
	return fmt.Errorf("%q is neither a regular file, a directory nor a symbolic link: a store has no others", path)
}

// withoutPath strips the path from an error of package os: callers name it.
func withoutPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
