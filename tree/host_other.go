//go:build !linux && !darwin

package tree

import (
	"io/fs"
	"os"
	"path/filepath"

	"diskwright/content"
)

// dirHandle is a directory, by its path: other systems have neither hard
// links, owners, extended attributes nor holes for us.
type dirHandle string

// workingDir resolves paths, not names.
const workingDir = dirHandle("")

type hostScratch struct{}

func openDir(path string, follow bool) (dirHandle, error) { return dirHandle(path), nil }

func (h dirHandle) close() {}

func (h dirHandle) join(name string) string {
	if h == workingDir {
		return name
	}
	return filepath.Join(string(h), name)
}

func (h dirHandle) names(identity, *scratch) (names []string, err error) {
	entries, err := os.ReadDir(string(h))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (h dirHandle) stat(name string, f *found) error {
	fi, err := os.Stat(h.join(name))
	if err == nil {
		*f = foundOf(fi)
	}
	return err
}

func (h dirHandle) lstat(name string, f *found) error {
	fi, err := os.Lstat(h.join(name))
	if err == nil {
		*f = foundOf(fi)
	}
	return err
}

// foundOf translates what Go tells. A path is the only identity there is, so
// no two directories may look the same: the walk does not see a cycle.
func foundOf(fi fs.FileInfo) found {
	mode := uint32(fi.Mode().Perm())
	switch fi.Mode().Type() {
	case 0:
		mode |= TypeRegular
	case fs.ModeDir:
		mode |= TypeDir
	case fs.ModeSymlink:
		mode |= TypeSymlink
	}
	t := fi.ModTime()
	return found{
		mode:   mode,
		links:  1,
		size:   fi.Size(),
		blocks: -1,
		mtime:  Time{t.Unix(), uint32(t.Nanosecond())},
		id:     content.IdentityOf(fi),
	}
}

func (h dirHandle) readlink(name string, size int64, s *scratch) (content.Source, error) {
	target, err := os.Readlink(h.join(name))
	return content.Bytes(filepath.ToSlash(target)), err
}

func (h dirHandle) readable(name string, f *found) error { return nil }

func withHoles(file *content.HostFile, h dirHandle, name string, f *found) (content.Source, error) {
	return file, nil
}

func readXattrs(path string, filter xattrFilter, s *scratch) (attrs []Xattr, supported bool, err error) {
	return nil, false, nil
}
