//go:build linux

package manifest

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Read returns the manifest of the tree at dir. It does not look below mount
// points in it.
func Read(dir string) (Manifest, error) {
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", dir, err)
	}
	defer unix.Close(fd)
	r := new(reader)
	if err := r.file(fd, ".", "."); err != nil {
		return nil, err
	}
	if err := r.below(fd, ""); err != nil {
		return nil, err
	}
	r.found.sort()
	r.joinNames()
	return r.found, nil
}

type reader struct {
	found  Manifest
	device uint64
	buf    [1 << 16]byte
}

// below reads the content of the directory that is open as fd.
func (r *reader) below(fd int, path string) error {
	names, err := list(fd, path)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := r.file(fd, name, path+name); err != nil {
			return err
		}
		if last := r.found[len(r.found)-1]; last.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		sub, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %q: %w", path+name, err)
		}
		err = r.below(sub, path+name+"/")
		unix.Close(sub)
		if err != nil {
			return err
		}
	}
	return nil
}

// list returns the names in a directory, sorted, so that each is looked up by
// the index and not found by chance where it was just read.
func list(fd int, path string) ([]string, error) {
	again, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", path, err)
	}
	dir := os.NewFile(uintptr(again), path)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", path, err)
	}
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return nil, fmt.Errorf("list %q: %q is there twice", path, names[i])
		}
	}
	return names, nil
}

// file adds the file called name in the directory dir.
func (r *reader) file(dir int, name, path string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat %q: %w", path, err)
	}
	f := File{
		Path: path, Mode: st.Mode, UID: st.Uid, GID: st.Gid,
		Sec: int64(st.Mtim.Sec), Nsec: int64(st.Mtim.Nsec),
	}
	if r.device == 0 {
		r.device = uint64(st.Dev)
	}
	if uint64(st.Dev) != r.device {
		return fmt.Errorf("%q is a mount point", path)
	}
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		f.Size = st.Size
		f.Digest, err = r.content(dir, name, st.Size)
	case unix.S_IFLNK:
		f.Size = st.Size
		f.Target, err = r.target(dir, name)
	case unix.S_IFCHR, unix.S_IFBLK:
		f.Major, f.Minor = unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))
	}
	if err != nil {
		return fmt.Errorf("read %q: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		f.Links = uint64(st.Nlink)
	}
	if f.Xattrs, err = r.xattrs(dir, name); err != nil {
		return fmt.Errorf("extended attributes of %q: %w", path, err)
	}
	f.Same = fmt.Sprint(st.Ino) // joinNames makes a path of it
	r.found = append(r.found, f)
	return nil
}

// joinNames sets Same of files of several names.
func (r *reader) joinNames() {
	first := make(map[string]string)
	for i := range r.found {
		f := &r.found[i]
		inode := f.Same
		f.Same = ""
		if f.Links < 2 {
			continue
		}
		if first[inode] == "" {
			first[inode] = f.Path
		}
		f.Same = first[inode]
	}
}

func (r *reader) target(dir int, name string) (string, error) {
	n, err := unix.Readlinkat(dir, name, r.buf[:])
	return string(r.buf[:max(n, 0)]), err
}

// xattrs returns the attributes, sorted by name. Linux before 6.13 knows no
// listxattrat; the path through the open directory does.
func (r *reader) xattrs(dir int, name string) ([]Xattr, error) {
	path := fmt.Sprintf("/proc/self/fd/%d/%s", dir, name)
	n, err := unix.Llistxattr(path, r.buf[:])
	if err == unix.ENOTSUP || n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []Xattr
	for _, attr := range strings.Split(strings.TrimSuffix(string(r.buf[:n]), "\x00"), "\x00") {
		n, err := unix.Lgetxattr(path, attr, r.buf[:])
		if err != nil {
			return nil, fmt.Errorf("%q: %w", attr, err)
		}
		found = append(found, Xattr{attr, bytes.Clone(r.buf[:n])})
	}
	slices.SortFunc(found, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}
