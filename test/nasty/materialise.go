//go:build linux

package nasty

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"golang.org/x/sys/unix"
)

// A maker makes the nodes of a tree. Everything is done relative to an open
// directory, so that no path is too long.
type maker struct {
	rand     *rand.Rand // nil: sorted
	readable bool
	asRoot   bool
	root     int // open directory
	buf      []byte
}

func materialise(dir string, root *node, o Options) error {
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %q: %w", dir, err)
	}
	defer unix.Close(fd)
	m := &maker{readable: o.Readable, asRoot: unix.Geteuid() == 0, root: fd}
	if o.Order != 0 {
		m.rand = rand.New(rand.NewPCG(o.Order, 1))
	}
	if err := m.fillDir(fd, root, ""); err != nil {
		return err
	}
	return m.dress(unix.AT_FDCWD, dir, root)
}

// fillDir makes the children of d, whose directory is open as fd.
func (m *maker) fillDir(fd int, d *node, path string) error {
	for _, n := range order(d.children, m.rand) {
		if err := m.make(fd, n, path+n.name); err != nil {
			return err
		}
	}
	return nil
}

// make makes n, its children and its attributes. Attributes of a directory come
// last: its time would change, its default list and set-group-id bit would be
// inherited, it might not be writable any more.
func (m *maker) make(dir int, n *node, path string) error {
	if m.leftOut(n) {
		return nil
	}
	if n.link != nil || n.made != "" {
		return m.makeLink(dir, n, path)
	}
	n.made = path
	var err error
	switch n.mode & unix.S_IFMT {
	case unix.S_IFDIR:
		err = m.makeDir(dir, n, path)
	case unix.S_IFREG:
		err = m.makeFile(dir, n)
	case unix.S_IFLNK:
		err = unix.Symlinkat(n.target, dir, n.name)
	default:
		err = unix.Mknodat(dir, n.name, n.mode&unix.S_IFMT|0o600, int(n.rdev))
	}
	if err != nil {
		return fmt.Errorf("make %q: %w", path, err)
	}
	return m.dress(dir, n.name, n)
}

// leftOut says whether n needs rights that the user, or the tree's later
// reader, lacks.
func (m *maker) leftOut(n *node) bool {
	if n.link != nil {
		n = n.link
	}
	if m.readable && n.private {
		return true
	}
	if m.asRoot {
		return false
	}
	switch n.mode & unix.S_IFMT {
	case unix.S_IFCHR, unix.S_IFBLK:
		return true
	}
	for _, x := range n.xattrs {
		if strings.HasPrefix(x.name, "security.") {
			return true
		}
	}
	return n.private
}

// makeLink makes a further name of a file. Whichever of its names comes first
// in the order makes the file.
func (m *maker) makeLink(dir int, n *node, path string) error {
	file := n
	if n.link != nil {
		file = n.link
	}
	if file.made == "" {
		first := *file
		first.name = n.name
		if err := m.make(dir, &first, path); err != nil {
			return err
		}
		file.made = path
		return nil
	}
	if err := unix.Linkat(m.root, file.made, dir, n.name, 0); err != nil {
		return fmt.Errorf("link %q: %w", path, err)
	}
	// A link changes the change time only, but the name may be the last thing
	// that changes the directory; its time is set later.
	return nil
}

func (m *maker) makeDir(dir int, n *node, path string) error {
	if err := unix.Mkdirat(dir, n.name, 0o700); err != nil {
		return err
	}
	fd, err := unix.Openat(dir, n.name, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return m.fillDir(fd, n, path+"/")
}

func (m *maker) makeFile(dir int, n *node) error {
	fd, err := unix.Openat(dir, n.name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if n.size > 0 {
		if err := unix.Ftruncate(fd, n.size); err != nil {
			return err
		}
	}
	for i, p := range n.pieces {
		if cap(m.buf) < p.n {
			m.buf = make([]byte, p.n)
		}
		buf := m.buf[:p.n]
		if clear(buf); !p.zero {
			fill(buf, n.seed+uint64(i))
		}
		for off := p.off; len(buf) > 0; {
			written, err := unix.Pwrite(fd, buf, off)
			if err != nil {
				return err
			}
			buf, off = buf[written:], off+int64(written)
		}
	}
	return nil
}

// dress sets owner, mode, attributes and time, in an order in which none
// undoes another: chown clears set-user-id and capabilities, chmod would change
// the mask of an access list.
func (m *maker) dress(dir int, name string, n *node) error {
	if err := m.tryDress(dir, name, n); err != nil {
		return fmt.Errorf("%q: %w", n.made, err)
	}
	return nil
}

func (m *maker) tryDress(dir int, name string, n *node) error {
	if m.asRoot {
		if err := unix.Fchownat(dir, name, int(n.uid), int(n.gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("chown: %w", err)
		}
	}
	symlink := n.mode&unix.S_IFMT == unix.S_IFLNK
	if !symlink {
		if err := unix.Fchmodat(dir, name, n.mode&0o7777, 0); err != nil {
			return fmt.Errorf("chmod: %w", err)
		}
	}
	for _, x := range n.xattrs {
		// There is no setxattrat before Linux 6.13.
		path := name
		if dir != unix.AT_FDCWD {
			path = fmt.Sprintf("/proc/self/fd/%d/%s", dir, name)
		}
		if err := unix.Lsetxattr(path, x.name, x.value, 0); err != nil {
			return fmt.Errorf("set %q (%d bytes): %w", x.name, len(x.value), err)
		}
	}
	times := []unix.Timespec{n.mtime, n.mtime}
	if err := unix.UtimesNanoAt(dir, name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("set time: %w", err)
	}
	return nil
}
