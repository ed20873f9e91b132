package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"diskwright/content"
	"diskwright/diskmap"
)

// ExtractOptions say what is made of a tree on the host.
type ExtractOptions struct {
	// Privileged is for root: owners are set, devices made, and all extended
	// attributes written. Otherwise files belong to who extracts them, devices
	// are skipped, and of the attributes only user.* are written. Setuid,
	// setgid and sticky bits are set in both cases, but never those of a file
	// whose owner could not be.
	Privileged bool
	// Skipped is called with what was left out, and why.
	Skipped func(path, why string)
}

// Extract makes the files of a tree in the directory dir: types, modes, times,
// hard links and holes. The directory is made if it is missing, and only then gets
// the mode and times of the root. Names that are there already are an error:
// nothing is replaced. Whatever names and links the tree has, nothing outside of
// dir is touched. After an error, what was made stays.
func Extract(ctx context.Context, root *Inode, dir string, opts ExtractOptions) error {
	if !root.IsDir() {
		return fmt.Errorf("%q: what is extracted must be a directory", dir)
	}
	_, err := os.Stat(dir)
	isNew := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	host, err := openHostDir(os.OpenRoot(dir))
	if err != nil {
		return err
	}
	defer host.close()
	if opts.Skipped == nil {
		opts.Skipped = func(string, string) {}
	}
	x := &extraction{ctx: ctx, opts: opts, host: host, first: make(map[*Inode]string), buffer: make([]byte, 1<<20)}
	for _, i := range Number(root) {
		if i.Links > 1 && !i.IsDir() {
			x.first[i] = ""
		}
	}
	if err := x.entries(host, "", root); err != nil || !isNew {
		return err
	}
	return x.attributes(host, ".", "", root)
}

// hostDir is an open directory. What is done with the names in it never leaves
// it.
type hostDir struct {
	*os.Root
	self *os.File
}

func openHostDir(root *os.Root, err error) (*hostDir, error) {
	if err != nil {
		return nil, err
	}
	self, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, err
	}
	return &hostDir{root, self}, nil
}

func (d *hostDir) close() {
	d.self.Close()
	d.Root.Close()
}

type extraction struct {
	ctx    context.Context
	opts   ExtractOptions
	host   *hostDir          // the directory of all
	first  map[*Inode]string // of a file with several names, the path that it was made at
	buffer []byte
}

// entries fills the directory here with what i has. Its path in the tree is what
// errors show.
func (x *extraction) entries(here *hostDir, path string, i *Inode) error {
	for _, e := range i.Entries {
		if err := context.Cause(x.ctx); err != nil {
			return err
		}
		child := e.Name
		if path != "" {
			child = path + "/" + e.Name
		}
		if err := x.entry(here, e.Name, child, e.Inode); err != nil {
			return err
		}
	}
	return nil
}

// directory makes and fills a directory, and then gives it its attributes.
func (x *extraction) directory(parent *hostDir, name, path string, i *Inode) error {
	if err := parent.Mkdir(name, 0o700); err != nil {
		return extractError(path, err)
	}
	here, err := openHostDir(parent.OpenRoot(name))
	if err != nil {
		return extractError(path, err)
	}
	err = x.entries(here, path, i)
	here.close()
	if err != nil {
		return err
	}
	return x.attributes(parent, name, path, i)
}

func (x *extraction) entry(dir *hostDir, name, path string, i *Inode) error {
	if i.IsDir() {
		return x.directory(dir, name, path, i)
	}
	first, several := x.first[i]
	if first != "" {
		return extractError(path, x.host.Link(first, path))
	}
	made, err := x.make(dir, name, path, i)
	if err != nil || !made {
		return extractError(path, err)
	}
	if several {
		x.first[i] = path
	}
	return x.attributes(dir, name, path, i)
}

// make makes what is no directory, without its attributes.
func (x *extraction) make(dir *hostDir, name, path string, i *Inode) (made bool, err error) {
	switch i.Type() {
	case TypeRegular:
		return true, x.file(dir, name, i)
	case TypeSymlink:
		return true, dir.Symlink(i.Target(), name)
	}
	if !x.opts.Privileged && i.Type() != TypeFIFO && i.Type() != TypeSocket {
		x.opts.Skipped(path, "only root can make a device")
		return false, nil
	}
	err = makeNode(dir, name, i)
	if errors.Is(err, errors.ErrUnsupported) {
		x.opts.Skipped(path, "this system has no such files")
		return false, nil
	}
	return err == nil, err
}

func (x *extraction) file(dir *hostDir, name string, i *Inode) error {
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = x.data(f, i.Content)
	return errors.Join(err, f.Close())
}

// data writes what is not a hole.
func (x *extraction) data(f *os.File, src content.Source) error {
	if src == nil {
		return nil
	}
	for e := range diskmap.ExtentsOf(src) {
		for off := int64(0); off < e.Length; {
			if err := context.Cause(x.ctx); err != nil {
				return err
			}
			p := x.buffer[:min(e.Length-off, int64(len(x.buffer)))]
			if err := content.ReadFull(e, p, off); err != nil {
				return err
			}
			if _, err := f.WriteAt(p, e.Offset+off); err != nil {
				return err
			}
			off += int64(len(p))
		}
	}
	return f.Truncate(src.Size())
}

// attributes sets owner, attributes, mode and times, in the order in which one
// does not undo another.
func (x *extraction) attributes(dir *hostDir, name, path string, i *Inode) error {
	if x.opts.Privileged {
		if err := dir.Lchown(name, int(i.UID), int(i.GID)); err != nil {
			return extractError(path, err)
		}
	}
	var xattrs []Xattr
	for _, a := range i.Xattrs {
		if x.opts.Privileged || strings.HasPrefix(a.Name, "user.") {
			xattrs = append(xattrs, a)
		} else {
			x.opts.Skipped(path, fmt.Sprintf("only root can write the extended attribute %q", a.Name))
		}
	}
	if !i.IsSymlink() {
		mode := i.Mode & PermMask
		if !x.opts.Privileged && !i.IsDir() {
			mode &^= 0o6000 // would give away the rights of another owner
		}
		if err := dir.Chmod(name, fileMode(mode)); err != nil {
			return extractError(path, err)
		}
	}
	if err := setXattrs(dir, name, xattrs); err != nil {
		return extractError(path, err)
	}
	return extractError(path, setMtime(dir, name, i))
}

// fileMode returns the permission bits as package os has them.
func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	for bit, flag := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if mode&bit != 0 {
			m |= flag
		}
	}
	return m
}

// extractError names the path in the tree.
func extractError(path string, err error) error {
	if err == nil {
		return nil
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	var le *os.LinkError
	if errors.As(err, &le) {
		err = le.Err
	}
	if path == "" {
		path = "."
	}
	return fmt.Errorf("cannot extract %q: %w", path, err)
}
