package diff

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"diskwright/content"
	"diskwright/filesystem/ext4"
	"diskwright/inspect"
	"diskwright/tree"

	textdiff "github.com/rogpeppe/go-internal/diff"
)

// walk compares the files of two trees, in the order of their paths.
type walk struct {
	*comparison
	differ           blocks
	rootA, rootB     *tree.Inode
	volumeA, volumeB *ext4.Volume // nil if it is no ext4
	nodesA, nodesB   map[*tree.Inode]node
	names            names
	files            []File

	// What differs, to explain the blocks by: inodes, and whether names or
	// attributes do, which lie in blocks of their own.
	changed           map[*tree.Inode]bool
	namesOrAttributes bool
}

// note says that an inode of either tree differs.
func (w *walk) note(i *tree.Inode) {
	if w.changed == nil {
		w.changed = make(map[*tree.Inode]bool)
	}
	w.changed[i] = true
}

// pair compares what one path leads to in both trees, and what is below it.
func (w *walk) pair(path string, a, b *tree.Inode) error {
	if w.excluded(path) {
		w.forget(a)
		w.forget(b)
		return nil
	}
	changes, err := w.changes(path, a, b)
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	if len(changes) > 0 {
		f := newFile(path, b)
		f.Changes = changes
		w.note(a)
		w.note(b)
		w.namesOrAttributes = w.namesOrAttributes || slices.ContainsFunc(changes, func(c Change) bool {
			return c.Kind != Mode && c.Kind != Owner && c.Kind != Times && c.Kind != Device
		})
		w.files = append(w.files, f)
	}
	na, nb := a.Entries, b.Entries
	for len(na)+len(nb) > 0 {
		switch {
		case len(nb) == 0 || len(na) > 0 && na[0].Name < nb[0].Name:
			w.only("a", join(path, na[0].Name), na[0].Inode)
			na = na[1:]
		case len(na) == 0 || nb[0].Name < na[0].Name:
			w.only("b", join(path, nb[0].Name), nb[0].Inode)
			nb = nb[1:]
		default:
			if err := w.pair(join(path, na[0].Name), na[0].Inode, nb[0].Inode); err != nil {
				return err
			}
			na, nb = na[1:], nb[1:]
		}
	}
	return nil
}

// forget takes all differences of a file, and of what is below it, for explained.
func (w *walk) forget(i *tree.Inode) {
	w.note(i)
	w.namesOrAttributes = true
	for _, e := range i.Entries {
		w.forget(e.Inode)
	}
}

func join(dir, name string) string { return strings.TrimSuffix(dir, "/") + "/" + name }

// only notes what one of the images has, and all below it.
func (w *walk) only(which, path string, i *tree.Inode) {
	if w.excluded(path) {
		w.forget(i)
		return
	}
	f := newFile(path, i)
	f.Only = which
	w.note(i)
	w.namesOrAttributes = true
	w.files = append(w.files, f)
	for _, e := range i.Entries {
		w.only(which, join(path, e.Name), e.Inode)
	}
}

func newFile(path string, i *tree.Inode) File {
	return File{Name: inspect.NewName(path), Type: i.TypeName(), Size: i.Size()}
}

func (w *walk) excluded(p string) bool {
	for _, pattern := range w.opts.Exclude {
		name := p
		if !strings.Contains(pattern, "/") {
			name = path.Base(p)
		} else if !strings.HasPrefix(pattern, "/") {
			name = strings.TrimPrefix(p, "/")
		}
		if ok, _ := path.Match(pattern, name); ok { // patterns were checked
			return true
		}
	}
	return false
}

// changes returns in what two files differ.
func (w *walk) changes(path string, a, b *tree.Inode) (list []Change, err error) {
	text := func(kind Kind, va, vb string) {
		if va != vb {
			list = append(list, Change{Kind: kind, A: va, B: vb})
		}
	}
	text(Type, a.TypeName(), b.TypeName())
	if !w.opts.ContentOnly {
		text(Mode, fmt.Sprintf("%04o", a.Mode&tree.PermMask), fmt.Sprintf("%04o", b.Mode&tree.PermMask))
		text(Owner, fmt.Sprintf("%d:%d", a.UID, a.GID), fmt.Sprintf("%d:%d", b.UID, b.GID))
		na, nb := w.nodesA[a], w.nodesB[b]
		text(Times, w.times(a, na, b, nb, true), w.times(a, na, b, nb, false))
		text(Links, w.names.of(a), w.names.of(b))
		text(Xattrs, xattrs(a, b), xattrs(b, a))
		text(Inode, inodeText(na, nb), inodeText(nb, na))
	}
	if a.Type() != b.Type() {
		return list, nil
	}
	text(Device, device(a), device(b))
	c, err := w.content(path, a, b)
	if c != nil {
		list = append(list, *c)
	}
	return list, err
}

// times describes those times of the first file, or of the second, in which they
// differ.
func (w *walk) times(a *tree.Inode, na node, b *tree.Inode, nb node, first bool) string {
	var parts []string
	for _, t := range []struct {
		name string
		a, b tree.Time
	}{{"modified", a.Mtime, b.Mtime}, {"accessed", na.atime, nb.atime}, {"changed", na.ctime, nb.ctime}, {"created", na.crtime, nb.crtime}} {
		if t.a == t.b {
			continue
		}
		v := t.b
		if first {
			v = t.a
		}
		parts = append(parts, t.name+" "+time.Unix(v.Sec, int64(v.Nsec)).UTC().Format(time.RFC3339Nano))
	}
	return strings.Join(parts, ", ")
}

// inodeText describes what of a differs from b.
func inodeText(a, b node) string {
	var parts []string
	if a.number != b.number {
		parts = append(parts, fmt.Sprintf("number %d", a.number))
	}
	if a.generation != b.generation {
		parts = append(parts, fmt.Sprintf("generation %d", a.generation))
	}
	if a.flags != b.flags {
		parts = append(parts, fmt.Sprintf("flags %#x", a.flags))
	}
	return strings.Join(parts, ", ")
}

// xattrs describes the attributes of a that b does not have so.
func xattrs(a, b *tree.Inode) string {
	var parts []string
	for _, x := range a.Xattrs {
		if !slices.ContainsFunc(b.Xattrs, func(y tree.Xattr) bool { return x.Name == y.Name && string(x.Value) == string(y.Value) }) {
			parts = append(parts, fmt.Sprintf("%s=%q", x.Name, x.Value))
		}
	}
	return strings.Join(parts, ", ")
}

func device(i *tree.Inode) string {
	if i.Type() != tree.TypeChar && i.Type() != tree.TypeBlock {
		return ""
	}
	return fmt.Sprintf("%d:%d", i.Major, i.Minor)
}

// maxText is the largest file whose text is compared by lines, in bytes.
const maxText = 64 << 10

// content compares what two files of one type hold, and where.
func (w *walk) content(path string, a, b *tree.Inode) (*Change, error) {
	if a.IsSymlink() {
		if a.Target() == b.Target() {
			return nil, nil
		}
		return &Change{Kind: Content, A: a.Target(), B: b.Target()}, nil
	}
	if !a.IsRegular() {
		return nil, nil
	}
	place, same := sameBlocks(a.Content, b.Content, w.differ)
	if !same || a.Size() != b.Size() {
		at, err := firstDifference(w.ctx, a.Content, b.Content)
		if err != nil {
			return nil, err
		}
		if at < 0 && a.Size() != b.Size() {
			at = min(a.Size(), b.Size())
		}
		if at >= 0 {
			return w.contentChange(path, a, b, at)
		}
	}
	if !place && !w.opts.ContentOnly {
		return &Change{Kind: Layout, A: placeText(a.Content), B: placeText(b.Content)}, nil
	}
	return nil, nil
}

func (w *walk) contentChange(path string, a, b *tree.Inode, at int64) (*Change, error) {
	c := &Change{Kind: Content, Offset: &at, A: fmt.Sprintf("%d bytes", a.Size()), B: fmt.Sprintf("%d bytes", b.Size())}
	if a.Size() > maxText || b.Size() > maxText {
		return c, nil
	}
	ta, okA, err := textOf(a)
	if err != nil || !okA {
		return c, err
	}
	tb, okB, err := textOf(b)
	if err != nil || !okB {
		return c, err
	}
	c.Text = string(textdiff.Diff("a"+path, ta, "b"+path, tb))
	return c, nil
}

// textOf returns the content of a small file if it is text.
func textOf(i *tree.Inode) (text []byte, ok bool, err error) {
	p := make([]byte, i.Size())
	if i.Content != nil {
		if err := content.ReadFull(i.Content, p, 0); err != nil {
			return nil, false, err
		}
	}
	return p, utf8.Valid(p) && !slices.Contains(p, 0), nil
}

// placeText says where a content begins, and in how many pieces it is.
func placeText(src content.Source) string {
	list, known := pieces(src)
	if !known || len(list) == 0 {
		return "in no block"
	}
	return fmt.Sprintf("at byte %d, pieces: %d", list[0].place, len(list))
}

// names are the names of files that have several, in either tree.
type names map[*tree.Inode]string

// newNames finds the names of all files with more than one.
func newNames(roots ...*tree.Inode) names {
	n := make(names)
	for _, root := range roots {
		all := make(map[*tree.Inode][]string)
		for _, i := range tree.Number(root) {
			if i.Links > 1 && !i.IsDir() {
				all[i] = nil
			}
		}
		var walk func(path string, i *tree.Inode)
		walk = func(path string, i *tree.Inode) {
			for _, e := range i.Entries {
				child := join(path, e.Name)
				if list, ok := all[e.Inode]; ok {
					all[e.Inode] = append(list, child)
				}
				walk(child, e.Inode)
			}
		}
		walk("/", root)
		for i, list := range all {
			slices.Sort(list)
			n[i] = summary(list)
		}
	}
	return n
}

// summary names few names, and counts many: they are the value of a field.
func summary(list []string) string {
	const few = 8
	text := strings.Join(list, " ")
	if len(list) > few {
		text = fmt.Sprintf("%s … and %d more", strings.Join(list[:few], " "), len(list)-few)
	}
	return text
}

func (n names) of(i *tree.Inode) string { return n[i] }
