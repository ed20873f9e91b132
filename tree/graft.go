package tree

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Item is something of the host that is to be put into a tree: an element of
// the reference's contents.
type Item struct {
	// Source is a path of the host. With a '*' in it, it is a shell pattern.
	Source string

	// Target is a path in the tree, with or without a leading slash.
	Target string

	// Mode is a change of permissions (see [ParseMode]), or empty.
	Mode string

	// User and Group are numbers, or both empty.
	User, Group string
}

// GraftOptions says how [Graft] works.
type GraftOptions struct {
	DirOptions

	// Epoch is the modification time of directories that have to be made.
	Epoch Time
}

// Graft puts items into a tree, in order, as make-disk-image.nix puts its
// contents into an image:
//
//   - A directory, or a symbolic link to one, becomes the target; anything
//     else, a symbolic link above all, becomes the target as it is (and goes
//     into it if the target ends in a slash).
//   - With a '*' in the source, every match goes into the target, under its
//     own name, symbolic links as they are. A match that ends in a slash
//     gives its content. A pattern without a match is an error.
//   - Directories above a target are made where they are missing: 0755, owned
//     by root. A symbolic link on the way is followed inside of the tree.
//   - A target that an earlier item has made, also as a directory on the way
//     to its own target, is the error "duplicate entry TARGET -> SOURCE".
//     This is not checked for matches of a pattern.
//   - What the tree has otherwise is replaced; but a directory over a
//     directory is merged, and has the mode and times of the source then.
//   - Mode applies to all files and directories of the source.
//   - User and Group apply, when all items are in place, to all that is at
//     the target and below, as by chown -R: symbolic links are changed
//     themselves. Setuid, setgid and file capabilities are lost as the kernel
//     has it, unless the item has a mode.
//
// Each item is walked anew, so that no inode is in the tree twice but for
// hard links within one item; those are kept. After an error the tree is of
// no use.
func Graft(ctx context.Context, root *Inode, items []Item, opts GraftOptions) error {
	g := &graft{ctx: ctx, root: root, opts: opts, ours: make(map[*Inode]bool)}
	for n, item := range items {
		if err := g.add(item); err != nil {
			return fmt.Errorf("contents[%d]: %w", n, err)
		}
	}
	for n, item := range items {
		if err := g.own(item); err != nil {
			return fmt.Errorf("contents[%d]: %w", n, err)
		}
	}
	return nil
}

// graft is the work of Graft.
type graft struct {
	ctx  context.Context
	root *Inode
	opts GraftOptions

	// ours is what the items made, or passed on the way to what they made:
	// what would exist if there were nothing in the tree before.
	ours map[*Inode]bool
}

// add puts an item in place.
func (g *graft) add(item Item) error {
	var mode ModeChange
	if item.Mode != "" {
		var err error
		if mode, err = ParseMode(item.Mode); err != nil {
			return err
		}
	}
	if _, _, err := item.owner(); err != nil {
		return err
	}
	names, err := splitTarget(item.Target)
	if err != nil {
		return err
	}
	if item.Source == "" {
		return fmt.Errorf("the source of target %q is empty", item.Target)
	}
	if isPattern(item.Source) {
		return g.addMatches(item, names, mode)
	}
	return g.addOne(item, names, mode)
}

// addMatches puts what a pattern matches into the target.
func (g *graft) addMatches(item Item, names []string, mode ModeChange) error {
	paths, err := glob(item.Source)
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return fmt.Errorf("nothing matches the source %q", item.Source)
	}
	// Hard links between the matches are kept: one walk.
	w := newWalk(g.ctx, g.opts.DirOptions)
	found := &Inode{Mode: TypeDir, Entries: make([]Entry, len(paths))}
	for n, path := range paths {
		i := w.at(path)
		if i == nil {
			break
		}
		found.Entries[n] = Entry{lastName(path), i}
	}
	if err := g.finish(w, found, mode); err != nil {
		return err
	}
	target, err := g.dir(item.Target, names)
	if err != nil {
		return err
	}
	for n, e := range found.Entries {
		if strings.HasSuffix(paths[n], "/") || e.Name == "." || e.Name == ".." {
			g.merge(target, e.Inode)
			continue
		}
		g.put(target, e.Name, e.Inode)
	}
	return nil
}

// addOne makes the source the target.
func (g *graft) addOne(item Item, names []string, mode ModeChange) error {
	fi, err := os.Stat(item.Source)
	isDir := err == nil && fi.IsDir()
	if g.exists(item.Target, names) {
		return fmt.Errorf("duplicate entry %s -> %s", item.Target, item.Source)
	}
	w := newWalk(g.ctx, g.opts.DirOptions)
	found := &Inode{Mode: TypeDir}
	if isDir {
		found.Entries = []Entry{{Inode: w.dirAt(item.Source)}}
	} else {
		found.Entries = []Entry{{Inode: w.at(item.Source)}}
	}
	if err := g.finish(w, found, mode); err != nil {
		return err
	}
	source := found.Entries[0].Inode

	switch {
	case isDir:
		target, err := g.dirToMerge(item.Target, names)
		if err != nil {
			return err
		}
		g.merge(target, source)
		return nil
	case strings.HasSuffix(item.Target, "/") || len(names) == 0:
		names = append(names, lastName(item.Source))
	}
	last := len(names) - 1
	dir, err := g.dir(item.Target, names[:last])
	if err != nil {
		return err
	}
	g.put(dir, names[last], source)
	return nil
}

// finish ends a walk and changes the modes of what it found.
func (g *graft) finish(w *walk, found *Inode, mode ModeChange) error {
	if err := w.finish(found); err != nil {
		return err
	}
	if mode == nil {
		return nil
	}
	for _, i := range Number(found)[1:] { // each inode once, whatever its names
		i.setMode(mode.Apply(i.Mode))
	}
	return nil
}

// exists reports whether an item before made what is at names.
func (g *graft) exists(target string, names []string) bool {
	if len(names) == 0 {
		return g.ours[g.root]
	}
	last := len(names) - 1
	r := resolver{root: g.root}
	dir := r.find(target, names[:last])
	if dir == nil {
		return false
	}
	i := dir.Child(names[last])
	return i != nil && g.ours[i]
}

// dir returns the directory of the tree at names, made if it is missing.
func (g *graft) dir(target string, names []string) (*Inode, error) {
	r := resolver{root: g.root, epoch: g.opts.Epoch, passed: g.claim}
	return r.dir(target, names)
}

// dirToMerge is dir, but puts an empty directory in the place of what is
// neither a directory nor leads to one.
func (g *graft) dirToMerge(target string, names []string) (*Inode, error) {
	if len(names) > 0 {
		last := len(names) - 1
		parent, err := g.dir(target, names[:last])
		if err != nil {
			return nil, err
		}
		r := resolver{root: g.root}
		if r.find(target, names) == nil {
			parent.SetChild(names[last], NewDir(g.opts.Epoch))
		}
	}
	return g.dir(target, names)
}

// claim takes note that an item made, or needs, an inode.
func (g *graft) claim(i *Inode) { g.ours[i] = true }

// put makes name lead to source, or merges the two if they are directories.
func (g *graft) put(dir *Inode, name string, source *Inode) {
	old := dir.Child(name)
	if old != nil && old.IsDir() && source.IsDir() {
		g.merge(old, source)
		return
	}
	g.claimAll(source)
	dir.SetChild(name, source)
}

// claimAll claims an inode and all below it.
func (g *graft) claimAll(i *Inode) {
	g.claim(i)
	for _, e := range i.Entries {
		g.claimAll(e.Inode)
	}
}

// merge puts all that is in the directory source into the directory dir, which
// then has the source's metadata. The owner stays unless owners are kept: 0:0
// would only say that nobody asked.
func (g *graft) merge(dir, source *Inode) {
	g.claim(dir)
	dir.Mtime = source.Mtime
	dir.Xattrs = mergeXattrs(dir.Xattrs, source.Xattrs)
	dir.setMode(source.Mode)
	if g.opts.KeepOwners {
		dir.UID, dir.GID = source.UID, source.GID
	}

	merged := make([]Entry, 0, len(dir.Entries)+len(source.Entries))
	old, added := dir.Entries, source.Entries
	for len(old) > 0 || len(added) > 0 {
		switch {
		case len(added) == 0 || len(old) > 0 && old[0].Name < added[0].Name:
			merged, old = append(merged, old[0]), old[1:]
			continue
		case len(old) > 0 && old[0].Name == added[0].Name:
			if old[0].Inode.IsDir() && added[0].Inode.IsDir() {
				g.merge(old[0].Inode, added[0].Inode)
				merged, old, added = append(merged, old[0]), old[1:], added[1:]
				continue
			}
			old = old[1:]
		}
		g.claimAll(added[0].Inode)
		merged, added = append(merged, added[0]), added[1:]
	}
	dir.Entries = slices.Clip(merged)
}

// mergeXattrs returns the attributes of both lists, where both have one that
// of the second.
func mergeXattrs(old, added []Xattr) []Xattr {
	if len(old) == 0 || len(added) == 0 {
		return append(old[:len(old):len(old)], added...)
	}
	merged := slices.Clone(old)
	for _, x := range added {
		n, found := slices.BinarySearchFunc(merged, x.Name, func(x Xattr, name string) int { return strings.Compare(x.Name, name) })
		if found {
			merged[n] = x
		} else {
			merged = slices.Insert(merged, n, x)
		}
	}
	return merged
}

// owner returns the numbers of user and group; given is false if there are
// none.
func (item *Item) owner() (owner [2]uint32, given bool, err error) {
	if item.User == "" && item.Group == "" {
		return owner, false, nil
	}
	if item.User == "" || item.Group == "" {
		return owner, false, fmt.Errorf("target %q has only one of user and group: want none or both", item.Target)
	}
	for n, text := range []string{item.User, item.Group} {
		id, err := strconv.ParseUint(text, 10, 32)
		// chown takes 4294967295, -1, as "leave it".
		if err != nil || id == math.MaxUint32 {
			return owner, false, fmt.Errorf("target %q has the %s %q: want a number from 0 to %d",
				item.Target, []string{"user", "group"}[n], text, uint32(math.MaxUint32-1))
		}
		owner[n] = uint32(id)
	}
	return owner, true, nil
}

// own sets the owners of what is at an item's target.
func (g *graft) own(item Item) error {
	owner, given, err := item.owner()
	if err != nil || !given {
		return err
	}
	names, err := splitTarget(item.Target)
	if err != nil {
		return err
	}
	top := g.root
	if last := len(names) - 1; last >= 0 {
		r := resolver{root: g.root}
		dir := r.find(item.Target, names[:last])
		if dir == nil {
			return nil // a later item replaced it
		}
		if top = dir.Child(names[last]); top == nil {
			return nil
		}
		if top.IsSymlink() && strings.HasSuffix(item.Target, "/") {
			if top = r.find(item.Target, names); top == nil {
				return nil
			}
		}
	}
	chown(top, owner, item.Mode != "")
	eachDir(top, func(dir *Inode) {
		for _, e := range dir.Entries {
			chown(e.Inode, owner, item.Mode != "")
		}
	})
	return nil
}

// chown sets the owner of an inode. Unless they were asked for, privileges of
// a file do not survive it: they were given to what another owner wrote.
func chown(i *Inode, owner [2]uint32, keepPrivileges bool) {
	i.UID, i.GID = owner[0], owner[1]
	if keepPrivileges || !i.IsRegular() {
		return
	}
	i.Mode &^= setUID
	if i.Mode&permGroup != 0 {
		i.Mode &^= setGID // without x it is no privilege, as the kernel sees it
	}
	isCapability := func(x Xattr) bool { return x.Name == xattrCapability }
	if slices.ContainsFunc(i.Xattrs, isCapability) {
		i.Xattrs = slices.DeleteFunc(slices.Clone(i.Xattrs), isCapability)
	}
}

// lastName returns the last name of a path of the host.
func lastName(path string) string {
	path = strings.TrimRight(path, "/")
	return path[strings.LastIndexByte(path, '/')+1:]
}
