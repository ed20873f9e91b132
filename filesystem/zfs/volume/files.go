package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"diskwright/tree"
)

// Files are the files of file systems that are put together at mount points.
type Files struct {
	mounts map[string]*FileSystem // by path: "/", "/nix"
	// below has for each directory that mounts need the names in it, sorted.
	below map[string][]string
}

// Files returns the files of datasets at mount points; nil is those of [Pool.Mounts].
func (p *Pool) Files(mounts []Mount) (*Files, error) {
	if mounts == nil {
		mounts = p.Mounts(nil)
	}
	f := &Files{mounts: make(map[string]*FileSystem), below: make(map[string][]string)}
	for _, m := range mounts {
		if f.mounts[m.Path] != nil || !path.IsAbs(m.Path) || path.Clean(m.Path) != m.Path {
			return nil, fmt.Errorf("zfs: dataset %q cannot be mounted at %q", m.Dataset.Name, m.Path)
		}
		var err error
		if f.mounts[m.Path], err = m.Dataset.FileSystem(); err != nil {
			return nil, err
		}
		for at := m.Path; at != "/"; {
			dir, name := path.Split(at)
			at = path.Clean(dir)
			if !slices.Contains(f.below[at], name) {
				f.below[at] = append(f.below[at], name)
			}
		}
	}
	for _, names := range f.below {
		slices.Sort(names)
	}
	return f, nil
}

// Files returns the files of the dataset alone.
func (d *Dataset) Files() (*Files, error) { return d.pool.Files([]Mount{{"/", d}}) }

// Tree reads the metadata of all files and returns them as a tree, in which content
// is read when it is asked for. Names that lead to one file lead to one in the tree.
// A directory with two names, and with that a cycle, is [ErrCorrupt].
func (f *Files) Tree(ctx context.Context) (*tree.Inode, error) {
	return f.TreeFunc(ctx, func(*tree.Inode, *Node) {})
}

// TreeFunc is [Files.Tree], and calls visit once for each file with what a tree does
// not have of it.
func (f *Files) TreeFunc(ctx context.Context, visit func(*tree.Inode, *Node)) (*tree.Inode, error) {
	roots := make(map[string]*tree.Inode)
	for mount, fs := range f.mounts {
		w := &treeWalk{ctx: ctx, fs: fs, visit: visit, seen: make(map[uint64]*tree.Inode), room: maxRatio * (fs.set.pool.Allocated + 1<<20)}
		var err error
		if roots[mount], err = w.node(fs.root, mount); err != nil {
			return nil, err
		}
	}
	var join func(at string, i *tree.Inode) *tree.Inode
	join = func(at string, i *tree.Inode) *tree.Inode {
		if root := roots[at]; root != nil {
			i = root
		}
		if i == nil || !i.IsDir() {
			i = tree.NewDir(tree.Time{})
		}
		for _, name := range f.below[at] {
			i.SetChild(name, join(path.Join(at, name), i.Child(name)))
		}
		return i
	}
	return join("/", nil), nil
}

type treeWalk struct {
	ctx   context.Context
	fs    *FileSystem
	visit func(*tree.Inode, *Node)
	seen  map[uint64]*tree.Inode // directories, and files of several names
	room  int64                  // for attributes and targets, in bytes
}

// maxRatio bounds the memory for what files have besides content: many may have
// theirs in one block, which is compressed.
const maxRatio = 8

// node returns the file that is an object, which path leads to, and all below.
func (w *treeWalk) node(number uint64, path string) (*tree.Inode, error) {
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	i := w.seen[number]
	if i != nil && i.IsDir() {
		return nil, fmt.Errorf("%q: %w", path, corrupt("a directory with two names"))
	}
	if i != nil {
		return i, nil
	}
	n, err := w.fs.Node(number)
	if err == nil {
		i, err = w.fs.inode(n)
	}
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	if w.room -= int64(len(n.Target) + len(n.Attributes.Xattrs)); w.room < 0 {
		return nil, unsupported("more attributes than %d times what is allocated", maxRatio)
	}
	if n.Links > 1 || n.IsDir() {
		w.seen[number] = i
	}
	w.visit(i, n)
	if n.IsDir() {
		return i, w.directory(n, i, path)
	}
	return i, nil
}

// pathMax bounds the depth of what a hostile image can make of one directory below
// another: nothing that was reached by a path is deeper.
const pathMax = 1 << 20

func (w *treeWalk) directory(n *Node, dir *tree.Inode, path string) error {
	if len(path) > pathMax {
		return unsupported("a path of more than %d bytes", pathMax)
	}
	entries, err := w.fs.entries(n)
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	slices.SortFunc(entries, func(a, b DirEntry) int { return strings.Compare(a.Name, b.Name) })
	dir.Entries = make([]tree.Entry, len(entries))
	for k, e := range entries {
		if k > 0 && entries[k-1].Name == e.Name {
			return fmt.Errorf("%q: %w", path, corrupt("%q is there twice", e.Name))
		}
		child, err := w.node(e.Object, strings.TrimSuffix(path, "/")+"/"+e.Name)
		if err != nil {
			return err
		}
		dir.Entries[k] = tree.Entry{Name: e.Name, Inode: child}
	}
	return nil
}

// position is a file in one of the file systems, or a directory that is there only
// because something is mounted below it: then node is nil.
type position struct {
	path string // without symbolic links
	fs   *FileSystem
	node *Node
}

func (p position) isDir() bool { return p.node == nil || p.node.IsDir() }

// at returns what is at a path, whose directory has the object of number in fs, 0 if
// it has none.
func (f *Files) at(path string, fs *FileSystem, number uint64) (position, error) {
	if mounted := f.mounts[path]; mounted != nil {
		fs, number = mounted, mounted.root
	}
	p := position{path: path, fs: fs}
	if number != 0 {
		var err error
		if p.node, err = fs.Node(number); err != nil {
			return p, err
		}
	}
	if len(f.below[path]) > 0 && !p.isDir() {
		p.node = nil // what is mounted below wins
	}
	return p, nil
}

// child returns what a name in a directory leads to.
func (f *Files) child(p position, name string) (position, error) {
	number := uint64(0)
	if p.node != nil {
		var err error
		if number, err = p.fs.Find(p.node, name); err != nil {
			return p, err
		}
	}
	if number == 0 && !slices.Contains(f.below[p.path], name) {
		return p, fs.ErrNotExist
	}
	return f.at(path.Join(p.path, name), p.fs, number)
}

// Lookup returns the file at a path, and its entries if it is a directory, but
// nothing below those. Symbolic links on the way are followed inside of the files,
// and the last one if follow says so. What does not exist is [fs.ErrNotExist].
func (f *Files) Lookup(path string, follow bool) (*tree.Inode, error) {
	i, err := f.lookup(path, follow)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	return i, nil
}

func (f *Files) lookup(path string, follow bool) (*tree.Inode, error) {
	p, err := f.find(path, follow)
	if err != nil {
		return nil, err
	}
	i, err := p.inode()
	if err != nil || !p.isDir() {
		return i, err
	}
	names := slices.Clone(f.below[p.path])
	if p.node != nil {
		for e, err := range p.fs.Entries(p.node) {
			if err != nil {
				return nil, err
			}
			names = append(names, e.Name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		child, err := f.child(p, name)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		inode, err := child.inode()
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		i.Entries = append(i.Entries, tree.Entry{Name: name, Inode: inode})
	}
	return i, nil
}

func (p position) inode() (*tree.Inode, error) {
	if p.node == nil {
		return tree.NewDir(tree.Time{}), nil
	}
	return p.fs.inode(p.node)
}

// find returns what is at a path.
func (f *Files) find(path string, follow bool) (position, error) {
	root, err := f.at("/", nil, 0)
	if err != nil {
		return root, err
	}
	names := tree.Namespace[position]{
		IsDir: position.isDir,
		Child: f.child,
		Target: func(p position) (string, bool, error) {
			if p.node == nil || uint32(p.node.Mode)&tree.TypeMask != tree.TypeSymlink {
				return "", false, nil
			}
			target, err := p.fs.Readlink(p.node)
			return string(target), true, err
		},
	}
	return names.Follow(root, path, follow)
}

// Exists reports whether there is a file at a path.
func (f *Files) Exists(path string) bool {
	_, err := f.find(path, true)
	return !errors.Is(err, fs.ErrNotExist)
}
