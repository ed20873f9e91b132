package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

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
		var err error
		if roots[mount], err = fs.tree(ctx, mount, visit); err != nil {
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

// maxRatio bounds the memory for what files have besides content: many may have
// theirs in one block, which is compressed.
const maxRatio = 8

// tree reads the metadata of all files of the file system, which is mounted at a path.
func (f *FileSystem) tree(ctx context.Context, mount string, visit func(*tree.Inode, *Node)) (*tree.Inode, error) {
	room := maxRatio * (f.set.pool.Allocated + 1<<20) // for attributes and targets, in bytes
	r := tree.Reader[uint64]{Corrupt: corrupt, Unsupported: unsupported, File: func(number uint64) (file tree.ReadFile[uint64], err error) {
		n, err := f.Node(number)
		if err != nil {
			return file, err
		}
		if file.Inode, err = f.inode(n); err != nil {
			return file, err
		}
		if room -= int64(len(n.Target) + len(n.Attributes.Xattrs)); room < 0 {
			return file, unsupported("more attributes than %d times what is allocated", maxRatio)
		}
		visit(file.Inode, n)
		file.Shared = n.Links > 1
		file.Entries = func() (names []tree.Numbered[uint64], err error) {
			entries, err := f.entries(n)
			for _, e := range entries {
				names = append(names, tree.Numbered[uint64]{Name: e.Name, Number: e.Object})
			}
			return names, err
		}
		return file, nil
	}}
	return r.Read(ctx, f.root, mount)
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
