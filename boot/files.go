package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"diskwright/content"
	"diskwright/tree"
)

// maxLinks is how many symbolic links a path may lead through, as in Linux.
const maxLinks = 40

// maxText is larger than any file that is read as a whole: menus, settings,
// bootspec documents, boot loader modules.
const maxText = 64 << 20

// Files are the files of the running system: a tree whose root is /.
type Files struct {
	Root *tree.Inode
}

// Lookup returns what is at an absolute path, links followed, and the path that
// it has without links. A path that is not there is [fs.ErrNotExist].
func (f Files) Lookup(name string) (i *tree.Inode, real string, err error) {
	i, real, err = f.walk(name, true)
	if err != nil {
		return nil, "", fmt.Errorf("%q: %w", name, err)
	}
	return i, real, nil
}

// Lstat returns what is at an absolute path. Links on the way are followed, but
// not the last one.
func (f Files) Lstat(name string) (*tree.Inode, error) {
	i, _, err := f.walk(name, false)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	return i, nil
}

// Exists reports whether there is something at an absolute path, links
// followed.
func (f Files) Exists(name string) bool {
	_, _, err := f.walk(name, true)
	return err == nil
}

// walk follows name from the root, and the link at its end if last is set.
func (f Files) walk(name string, last bool) (*tree.Inode, string, error) {
	if !strings.HasPrefix(name, "/") {
		return nil, "", errors.New("not an absolute path")
	}
	type step struct {
		dir  *tree.Inode
		name string
	}
	way := []step{{dir: f.Root}} // to where we are
	rest := strings.Split(name, "/")
	for links := 0; len(rest) > 0; {
		here, next := way[len(way)-1].dir, rest[0]
		rest = rest[1:]
		if next == "" || next == "." {
			if !here.IsDir() {
				return nil, "", fs.ErrNotExist
			}
			continue
		}
		if next == ".." {
			way = way[:max(1, len(way)-1)] // above the root is the root
			continue
		}
		if !here.IsDir() {
			return nil, "", fs.ErrNotExist
		}
		child := here.Child(next)
		if child == nil {
			return nil, "", fs.ErrNotExist
		}
		if !child.IsSymlink() || (len(rest) == 0 && !last) {
			way = append(way, step{child, next})
			continue
		}
		if links++; links > maxLinks {
			return nil, "", fmt.Errorf("more than %d symbolic links", maxLinks)
		}
		target := child.Target()
		if strings.HasPrefix(target, "/") {
			way = way[:1]
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	var real strings.Builder
	for _, s := range way[1:] {
		real.WriteByte('/')
		real.WriteString(s.name)
	}
	if real.Len() == 0 {
		real.WriteByte('/')
	}
	return way[len(way)-1].dir, real.String(), nil
}

// Regular is [Files.Lookup] for a path that must lead to a regular file.
func (f Files) Regular(name string) (i *tree.Inode, real string, err error) {
	i, real, err = f.Lookup(name)
	if err == nil && !i.IsRegular() {
		err = fmt.Errorf("%q is not a regular file", name)
	}
	return i, real, err
}

// Read returns the content of the regular file at an absolute path, links
// followed. It is for texts and small binaries: files of more than 64 MiB are
// refused.
func (f Files) Read(name string) ([]byte, error) {
	i, _, err := f.Regular(name)
	if err != nil {
		return nil, err
	}
	b, err := ReadAll(i)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	return b, nil
}

// ReadAll returns the content of a regular file of at most 64 MiB.
func ReadAll(i *tree.Inode) ([]byte, error) {
	if i.Size() > maxText {
		return nil, fmt.Errorf("has %d bytes: want at most %d", i.Size(), maxText)
	}
	b := make([]byte, i.Size())
	if len(b) == 0 {
		return b, nil
	}
	if err := content.ReadFull(i.Content, b, 0); err != nil {
		return nil, err
	}
	return b, nil
}

// ReadDir returns the names in the directory at an absolute path, links
// followed, sorted by bytes.
func (f Files) ReadDir(name string) ([]string, error) {
	i, _, err := f.Lookup(name)
	if err != nil {
		return nil, err
	}
	if !i.IsDir() {
		return nil, fmt.Errorf("%q is not a directory", name)
	}
	names := make([]string, len(i.Entries))
	for n, e := range i.Entries {
		names[n] = e.Name
	}
	return names, nil
}

// Below reports whether the clean path name lies in the directory dir, or is
// it, and what remains behind it: "" or a path with a leading slash.
func Below(name, dir string) (rest string, ok bool) {
	dir = path.Clean(dir)
	if dir == "/" {
		return name, strings.HasPrefix(name, "/")
	}
	rest, ok = strings.CutPrefix(name, dir)
	return rest, ok && (rest == "" || rest[0] == '/')
}
