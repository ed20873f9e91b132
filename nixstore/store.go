package nixstore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Store is where a store lies on the host.
type Store struct {
	Dir      string // has the store objects
	Database string // db.sqlite
}

// At returns the store below root, as nix --store root has it: the objects in
// root/nix/store, which a running system sees as /nix/store. An empty root is
// the host's own. It may also be given as the path of that nix/store itself.
func At(root string) Store {
	if root != "" {
		root, _ = strings.CutSuffix(filepath.Clean(root), StoreDir)
	}
	if root == "" {
		root = "/"
	}
	return Store{
		Dir:      filepath.Join(root, StoreDir),
		Database: filepath.Join(root, "nix/var/nix/db/db.sqlite"),
	}
}

// Host returns the path of the host at which the object of p is.
func (s Store) Host(p Path) string { return filepath.Join(s.Dir, p.Base()) }

// maxLinks is how many symbolic links may have to be followed, as in Linux.
const maxLinks = 40

// Resolve returns the store path that a path of the host leads to: a store
// path, as a running system or the host sees it, or a symbolic link to one
// ("./result", a profile, /run/current-system). A store object that is itself
// a link is not followed.
func (s Store) Resolve(arg string) (Path, error) {
	path, err := filepath.Abs(arg)
	if err != nil {
		return "", fmt.Errorf("%q: %w", arg, err)
	}
	for range maxLinks {
		if p, inside, err := s.pathOf(path); inside {
			return p, atArgument(arg, err)
		}
		target, err := os.Readlink(path)
		if err != nil {
			break // not a link
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = filepath.Clean(target)
	}
	// The directory above may be reached by a link.
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("%q: %w", arg, withoutPath(err))
	}
	if p, inside, err := s.pathOf(real); inside {
		return p, atArgument(arg, err)
	}
	return "", fmt.Errorf("%q is %q, which is not in the store %q", arg, real, s.Dir)
}

func atArgument(arg string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%q: %w", arg, err)
}

// pathOf returns the store path that path, cleaned and absolute, is.
func (s Store) pathOf(path string) (p Path, inside bool, err error) {
	dirs := []string{StoreDir, s.Dir}
	if dir, err := filepath.Abs(s.Dir); err == nil {
		dirs = append(dirs, dir)
	}
	if dir, err := filepath.EvalSymlinks(s.Dir); err == nil {
		dirs = append(dirs, dir)
	}
	for _, dir := range dirs {
		below, ok := strings.CutPrefix(path, dir+"/")
		if !ok {
			continue
		}
		base, rest, _ := strings.Cut(below, "/")
		p, err = ParsePath(StoreDir + "/" + base)
		if err == nil && rest != "" {
			err = fmt.Errorf("leads to %q inside of %q: want the store path itself", rest, p)
		}
		return p, true, err
	}
	return "", false, nil
}
