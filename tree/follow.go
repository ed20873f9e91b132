package tree

import (
	"fmt"
	"io/fs"
	"strings"
)

// Namespace is how the files N of a file system are found by their names.
type Namespace[N any] struct {
	IsDir func(N) bool
	// Child returns what a name in a directory leads to, or [fs.ErrNotExist].
	Child func(dir N, name string) (N, error)
	// Target returns the target of a symbolic link; link is false if it is none.
	Target func(N) (target string, link bool, err error)
}

// Follow returns what a path leads to from root, which is the root of absolute links,
// too. Symbolic links on the way are followed, and the last one if last says so.
func (s Namespace[N]) Follow(root N, path string, last bool) (found N, err error) {
	way := []N{root} // from the root to where we are
	links := 0
	for rest := strings.Split(path, "/"); len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		at := way[len(way)-1]
		if name == "" || name == "." {
			continue
		}
		if !s.IsDir(at) {
			return found, fmt.Errorf("%w: there is no directory above %q", fs.ErrNotExist, name)
		}
		if name == ".." {
			way = way[:max(len(way)-1, 1)]
			continue
		}
		child, err := s.Child(at, name)
		if err != nil {
			return found, err
		}
		if len(rest) == 0 && !last {
			return child, nil
		}
		target, link, err := s.Target(child)
		if err != nil {
			return found, err
		}
		if !link {
			way = append(way, child)
			continue
		}
		if links++; links > maxSymlinks {
			return found, fmt.Errorf("more than %d symbolic links", maxSymlinks)
		}
		if strings.HasPrefix(target, "/") {
			way = way[:1]
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return way[len(way)-1], nil
}
