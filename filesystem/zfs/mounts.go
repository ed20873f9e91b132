package zfs

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"diskwright/tree"
)

// Divide cuts a tree at mount points, as if the datasets had been mounted there
// before anything was put into them, and returns what each of them holds, in the
// order of the points. What lies at no point stays in root, which is itself what
// the point "/" holds.
//
//	/            /            /var
//	├── etc      ├── etc      └── log
//	└── var      └── var
//	    └── log
//
// A mount point stays in the tree above it as an empty directory; its copy is the
// root of the dataset. Directories that are missing are made: 0755, owned by root,
// modified at epoch. A file whose hard links lie in several datasets becomes one in
// each, with the same content: no link leads from one file system to another. A
// mount point that is no directory, a symbolic link for one, is an error.
func Divide(root *tree.Inode, points []string, epoch tree.Time) ([]*tree.Inode, error) {
	for i, point := range points {
		if err := CheckMount(point); err != nil {
			return nil, err
		}
		if slices.Contains(points[:i], point) {
			return nil, fmt.Errorf("two datasets are mounted at %q", point)
		}
	}
	tree.Number(root) // counts links
	parts := make([]*tree.Inode, len(points))
	for _, i := range deepestFirst(points) {
		dir, err := mountPoint(root, points[i], epoch)
		if err != nil {
			return nil, err
		}
		if dir == root {
			parts[i] = root
			continue
		}
		part := *dir
		part.Xattrs = slices.Clone(dir.Xattrs)
		dir.Entries = nil
		parts[i] = &part
	}
	l := links{in: map[*tree.Inode]*tree.Inode{}, twins: map[twin]*tree.Inode{}}
	l.separate(root, root)
	for _, part := range parts {
		if part != root {
			l.separate(part, part)
		}
	}
	return parts, nil
}

// Populate divides a tree at the mount points of the datasets, gives each what lies
// there, and returns what the pool's own file system holds: what lies at its own
// mount point; without one, what is left.
func (o *Options) Populate(root *tree.Inode, epoch tree.Time) (own *tree.Inode, err error) {
	holders := map[string]**tree.Inode{} // by mount point
	var points []string
	mount := func(point string, holder **tree.Inode) {
		if point != "" {
			points = append(points, point)
			holders[point] = holder
		}
	}
	own = root
	mount(o.Mount, &own)
	for i := range o.Datasets {
		mount(o.Datasets[i].Mount, &o.Datasets[i].Root)
	}
	parts, err := Divide(root, points, epoch)
	if err != nil {
		return nil, err
	}
	if holders["/"] != nil {
		own = tree.NewDir(epoch)
	}
	for i, point := range points {
		*holders[point] = parts[i]
	}
	return own, nil
}

// CheckMount says what is wrong with a path at which a dataset is to be mounted.
func CheckMount(point string) error {
	if !strings.HasPrefix(point, "/") || path.Clean(point) != point || strings.ContainsRune(point, 0) {
		return fmt.Errorf("%q is not an absolute path without \".\", \"..\" and needless slashes", point)
	}
	return nil
}

// deepestFirst returns the numbers of paths in an order in which each comes before
// those above it.
func deepestFirst(points []string) []int {
	order := make([]int, len(points))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(points[b]) - len(points[a]) })
	return order
}

// mountPoint returns the directory at an absolute path, which is made if it is
// missing.
func mountPoint(root *tree.Inode, point string, epoch tree.Time) (*tree.Inode, error) {
	dir, at := root, ""
	for name := range strings.SplitSeq(strings.TrimPrefix(point, "/"), "/") {
		if name == "" { // of the root
			return root, nil
		}
		at += "/" + name
		if len(name) > tree.NameMax {
			return nil, fmt.Errorf("the mount point %q has a name of more than %d bytes", point, tree.NameMax)
		}
		child := dir.Child(name)
		switch {
		case child == nil:
			child = tree.NewDir(epoch)
			dir.SetChild(name, child)
		case !child.IsDir():
			return nil, fmt.Errorf("a dataset is mounted at %q, but %q is a %s: want a directory", point, at, child.TypeName())
		}
		dir = child
	}
	return dir, nil
}

// links makes copies of files that have names in several datasets.
type links struct {
	in    map[*tree.Inode]*tree.Inode // files with several names: the root of the dataset that has the first
	twins map[twin]*tree.Inode        // their copies
}

// twin says of which file in which dataset there is a copy.
type twin struct{ file, root *tree.Inode }

// separate replaces the files below dir, a directory of the dataset with that root,
// that belong to another dataset.
func (l *links) separate(root, dir *tree.Inode) {
	for n := range dir.Entries {
		e := &dir.Entries[n]
		if e.Inode.IsDir() {
			l.separate(root, e.Inode)
			continue
		}
		if e.Inode.Links < 2 {
			continue
		}
		switch owner := l.in[e.Inode]; owner {
		case root:
		case nil:
			l.in[e.Inode] = root
		default:
			key := twin{e.Inode, root}
			if l.twins[key] == nil {
				second := *e.Inode
				second.Xattrs = slices.Clone(second.Xattrs)
				l.twins[key] = &second
			}
			e.Inode = l.twins[key]
		}
	}
}
