package tree

import (
	"fmt"
	"strings"
)

// maxSymlinks is how many symbolic links a path may lead through, as in
// Linux.
const maxSymlinks = 40

// splitTarget returns the names of a path inside of an image. It may begin
// with a slash or not.
func splitTarget(path string) ([]string, error) {
	var names []string
	for name := range strings.SplitSeq(path, "/") {
		switch {
		case name == "" || name == ".":
			continue
		case name == "..":
			return nil, fmt.Errorf("target %q has a \"..\": want a path from the root of the image", path)
		case len(name) > NameMax:
			return nil, fmt.Errorf("target %q has a name of %d bytes: at most %d are possible", path, len(name), NameMax)
		case strings.Contains(name, "\x00"):
			return nil, fmt.Errorf("target %q has a NUL byte", path)
		}
		names = append(names, name)
	}
	return names, nil
}

// resolver finds directories in a tree as the kernel would with root as its
// root directory: symbolic links on the way are followed, absolute ones from
// root. Missing directories are made.
type resolver struct {
	root   *Inode
	epoch  Time
	passed func(*Inode) // told about every directory on the way; may be nil

	links int
}

// dir returns the directory that names lead to. path is for errors.
func (r *resolver) dir(path string, names []string) (*Inode, error) {
	r.links = 0
	stack, err := r.enter(path, []*Inode{r.root}, names, true)
	if err != nil {
		return nil, err
	}
	if r.passed != nil {
		for _, dir := range stack {
			r.passed(dir)
		}
	}
	return stack[len(stack)-1], nil
}

// find is dir without making anything. It returns nil if there is no such
// directory.
func (r *resolver) find(path string, names []string) *Inode {
	r.links = 0
	stack, err := r.enter(path, []*Inode{r.root}, names, false)
	if err != nil || stack == nil {
		return nil
	}
	return stack[len(stack)-1]
}

// enter goes from the directory on top of the stack of directories, which
// begins with the root, by names, and returns the stack that leads there.
func (r *resolver) enter(path string, stack []*Inode, names []string, create bool) ([]*Inode, error) {
	for _, name := range names {
		dir := stack[len(stack)-1]
		switch name {
		case "", ".":
			continue
		case "..": // of a link's target
			stack = stack[:max(len(stack)-1, 1)]
			continue
		}
		child := dir.Child(name)
		switch {
		case child == nil && !create:
			return nil, nil
		case child == nil:
			child = NewDir(r.epoch)
			dir.SetChild(name, child)
			stack = append(stack, child)
		case child.IsDir():
			stack = append(stack, child)
		case child.IsSymlink():
			if r.links++; r.links > maxSymlinks {
				return nil, fmt.Errorf("%q leads through more than %d symbolic links", path, maxSymlinks)
			}
			target := child.Target()
			if strings.HasPrefix(target, "/") {
				stack = stack[:1]
			}
			var err error
			// What is missing behind a link is not made: mkdir -p does not either.
			next, err := r.enter(path, stack, strings.Split(target, "/"), false)
			if err != nil {
				return nil, err
			}
			if next == nil {
				return nil, fmt.Errorf("%q leads through the symbolic link %q to %q, which is not a directory of the image", path, name, target)
			}
			stack = next
		default:
			return nil, fmt.Errorf("%q leads through %q, which is not a directory", path, name)
		}
	}
	return stack, nil
}
