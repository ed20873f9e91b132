//go:build linux || darwin

package tree

import (
	"errors"
	"os"
	"slices"
	"strings"
	"unique"

	"golang.org/x/sys/unix"

	"diskwright/content"
	"diskwright/diskmap"
)

// dirHandle is an open directory: what it is asked costs one system call for
// each name, and no path has to be resolved.
type dirHandle int

// workingDir resolves paths, not names.
const workingDir = dirHandle(unix.AT_FDCWD)

// hostScratch are the buffers of system calls. Those of extended attributes
// grow where they are too small: few files have many, and for each call Linux
// allocates as much as the buffer holds.
type hostScratch struct {
	names, list, value []byte
}

func (s *hostScratch) init() {
	if s.names == nil {
		s.names = make([]byte, 64<<10)
		s.list = make([]byte, 256)
		s.value = make([]byte, 1<<10)
	}
}

// retry repeats a call that a signal interrupted.
func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

// openDir opens the directory at path. The last name of path is not followed
// if it became a link, unless it ends in a slash.
func openDir(path string, follow bool) (dirHandle, error) {
	flags := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Open(path, flags, 0)
		return err
	})
	return dirHandle(fd), err
}

func (h dirHandle) close() { unix.Close(int(h)) }

// names returns the names in the directory, in the order of the host, after
// checking that it is the one that was found.
func (h dirHandle) names(want identity, s *scratch) (names []string, err error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(int(h), &st) }); err != nil {
		return nil, err
	}
	if want != (identity{uint64(st.Dev), st.Ino}) {
		return nil, errReplaced
	}
	s.host.init()
	for {
		var n int
		err := retry(func() (err error) {
			n, err = unix.ReadDirent(int(h), s.host.names)
			return err
		})
		if err != nil {
			return nil, err
		}
		if n <= 0 {
			return names, nil
		}
		_, _, names = unix.ParseDirent(s.host.names[:n], -1, names)
	}
}

// stat tells about a file, links followed.
func (h dirHandle) stat(name string, f *found) error { return h.fstatat(name, f, 0) }

// lstat tells about a file, links not followed.
func (h dirHandle) lstat(name string, f *found) error {
	return h.fstatat(name, f, unix.AT_SYMLINK_NOFOLLOW)
}

func (h dirHandle) fstatat(name string, f *found, flags int) error {
	var st unix.Stat_t // not captured by a closure, so that it stays on the stack
	err := unix.Fstatat(int(h), name, &st, flags)
	for err == unix.EINTR {
		err = unix.Fstatat(int(h), name, &st, flags)
	}
	if err == nil {
		*f = foundOf(&st)
	}
	return err
}

// foundOf translates what the system tells.
func foundOf(st *unix.Stat_t) found {
	f := found{
		identity: identity{uint64(st.Dev), st.Ino},
		mode:     uint32(st.Mode),
		uid:      st.Uid,
		gid:      st.Gid,
		links:    uint64(st.Nlink),
		size:     st.Size,
		blocks:   st.Blocks,
		mtime:    Time{st.Mtim.Sec, uint32(st.Mtim.Nsec)},
		id:       content.Identity{Inode: st.Ino, Size: st.Size, Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano()},
	}
	if t := f.mode & TypeMask; t == TypeChar || t == TypeBlock {
		f.major, f.minor = unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))
	}
	return f
}

// readlink returns the target of a symbolic link. Its size is only a hint:
// some file systems do not tell it.
func (h dirHandle) readlink(name string, size int64, s *scratch) (content.Source, error) {
	s.host.init()
	var n int
	err := retry(func() (err error) {
		n, err = unix.Readlinkat(int(h), name, s.host.names)
		return err
	})
	if err != nil {
		return nil, err
	}
	return content.Bytes(slices.Clone(s.host.names[:n])), nil
}

// privileged is whether modes do not matter.
var privileged = os.Geteuid() == 0

// readable asks whether a file can be opened, but only if its mode does not
// say so already: that is one system call for very few files.
func (h dirHandle) readable(name string, f *found) error {
	if privileged || f.mode&0o444 == 0o444 {
		return nil
	}
	return retry(func() error { return unix.Faccessat(int(h), name, unix.R_OK, unix.AT_EACCESS) })
}

// withHoles returns the content of a file that has fewer blocks than bytes:
// those of its bytes that are not in holes. A file system that compresses, or
// does not tell, has none.
func withHoles(file *content.HostFile, h dirHandle, name string, f *found) (content.Source, error) {
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Openat(int(h), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var b diskmap.Builder
	for pos := int64(0); pos < f.size; {
		data, end, err := content.NextData(uintptr(fd), pos, f.size)
		if err == unix.ENXIO {
			return nil, errReplaced // it shrank
		}
		if err != nil {
			return nil, err
		}
		if data == 0 && end == f.size {
			return file, nil
		}
		if data < end {
			b.Place(data, content.Section(file, data, end-data))
		}
		pos = end
	}
	// The map is only right if it is of the file that was found.
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return nil, err
	}
	if foundOf(&st).id != f.id {
		return nil, errReplaced
	}
	return b.Map(f.size)
}

// readXattrs returns the chosen extended attributes of the file at path,
// links not followed, and whether its file system has any.
func readXattrs(path string, filter xattrFilter, s *scratch) (attrs []Xattr, supported bool, err error) {
	s.host.init()
	n, err := grow(&s.host.list, func(p []byte) (int, error) { return unix.Llistxattr(path, p) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil, false, nil
	}
	if err != nil {
		return nil, true, err
	}
	for list := s.host.list[:n]; len(list) > 0; {
		end := slices.Index(list, 0)
		if end < 0 {
			end = len(list)
		}
		name := list[:end]
		list = list[min(end+1, len(list)):]
		if !filter.match(name) {
			continue
		}
		// A few names, a million files.
		attr := Xattr{Name: unique.Make(string(name)).Value()}
		n, err := grow(&s.host.value, func(p []byte) (int, error) { return unix.Lgetxattr(path, attr.Name, p) })
		if err == unix.ENODATA || err == noAttribute {
			continue // listed but not there: some file systems do so
		}
		if err != nil {
			return nil, true, err
		}
		attr.Value = slices.Clone(s.host.value[:n])
		attrs = append(attrs, attr)
	}
	slices.SortFunc(attrs, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return attrs, true, nil
}

// grow calls f with a buffer that is large enough for its result.
func grow(buf *[]byte, f func(p []byte) (int, error)) (int, error) {
	const enough = 64 << 20
	for {
		n, err := f(*buf)
		switch {
		case err == unix.EINTR:
		case err == unix.ERANGE && len(*buf) < enough:
			*buf = make([]byte, 4*len(*buf))
		default:
			return n, err
		}
	}
}
