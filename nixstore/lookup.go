package nixstore

import (
	"fmt"
	"io/fs"
	"strings"

	"diskwright/tree"
)

// Lookup returns what is at path (/nix/store/HASH-NAME/…) in a tree of store
// objects, as a running system finds it: symbolic links are followed, also
// from one object to another. One that leads out of the store is an error; so
// is a path that is not there ([fs.ErrNotExist]).
func Lookup(store *tree.Inode, path string) (*tree.Inode, error) {
	i, err := lookup(store, path)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	return i, nil
}

func lookup(store *tree.Inode, path string) (*tree.Inode, error) {
	names, err := namesInStore(path)
	if err != nil {
		return nil, err
	}
	way := []*tree.Inode{store} // to where we are
	for links := 0; len(names) > 0; {
		here, name := way[len(way)-1], names[0]
		names = names[1:]
		if !here.IsDir() {
			return nil, fmt.Errorf("%w: what is above %q is not a directory", fs.ErrNotExist, name)
		}
		switch name {
		case "", ".":
			continue
		case "..":
			if way = way[:len(way)-1]; len(way) == 0 {
				return nil, fmt.Errorf("leads out of %s", StoreDir)
			}
			continue
		}
		child := here.Child(name)
		if child == nil {
			return nil, fs.ErrNotExist
		}
		if !child.IsSymlink() {
			way = append(way, child)
			continue
		}
		if links++; links > maxLinks {
			return nil, fmt.Errorf("more than %d symbolic links", maxLinks)
		}
		target := child.Target()
		next := strings.Split(target, "/")
		if strings.HasPrefix(target, "/") {
			if next, err = namesInStore(target); err != nil {
				return nil, err
			}
			way = way[:1]
		}
		names = append(next, names...)
	}
	return way[len(way)-1], nil
}

// namesInStore splits what is below /nix/store in an absolute path.
func namesInStore(path string) ([]string, error) {
	below, ok := strings.CutPrefix(path, StoreDir+"/")
	if !ok {
		return nil, fmt.Errorf("leads to %q, which is not in %s", shorten(path), StoreDir)
	}
	return strings.Split(below, "/"), nil
}
