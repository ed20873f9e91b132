package du

import (
	"context"
	"slices"
	"strings"

	"diskwright/inspect"
	"diskwright/nixstore"
	"diskwright/progress"
	"diskwright/tree"
)

// Duplicates are files that are equal, but have blocks of their own: what
// optimisation would make hard links of. Symbolic links and empty files count, as
// they do for Nix, but take no space.
type Duplicates struct {
	// Below is where they were looked for: in the store, if there is one, because
	// nothing else may be linked without asking.
	Below  string      `json:"below"`
	Files  int64       `json:"files"`  // that would not be needed
	Size   int64       `json:"size"`   // of their blocks
	Length int64       `json:"length"` // of what they hold
	Groups []Duplicate `json:"groups"` // the largest saving first, at most [MaxGroups]
}

// MaxGroups is how many groups of duplicates are listed, and maxNames how many of
// the files of each.
const (
	MaxGroups = 1000
	maxNames  = 10
)

// Duplicate is a group of equal files.
type Duplicate struct {
	Length int64          `json:"length"` // of each
	Files  int64          `json:"files"`  // that would not be needed
	Size   int64          `json:"size"`   // of their blocks
	Names  []inspect.Name `json:"names"`  // the one that would stay, and some of the others
}

// duplicates finds out what [nixstore.Optimise] would do: it is let loose on a
// copy of the tree, which is then compared.
func duplicates(ctx context.Context, w *walk, opts Options) (*Duplicates, error) {
	d := &Duplicates{Below: nixstore.StoreDir, Groups: []Duplicate{}}
	dir := w.root.Lookup(nixstore.StoreDir)
	if dir == nil || !dir.IsDir() {
		d.Below, dir = "/", w.root
	}
	linked := w.copyDir(dir)
	progress.Phase(opts.Progress, "comparing files", 0)
	if _, err := nixstore.Optimise(ctx, linked, nixstore.OptimiseOptions{Workers: opts.Workers, Progress: opts.Progress}); err != nil {
		return nil, err
	}
	g := grouping{w: w, groups: make(map[*tree.Inode]*Duplicate), counted: make(map[*tree.Inode]bool)}
	g.compare(strings.TrimSuffix(d.Below, "/"), w.measurable(dir), linked)
	g.nameFirst(strings.TrimSuffix(d.Below, "/"), linked)
	for _, group := range g.order {
		d.Files += group.Files
		d.Size = plus(d.Size, group.Size)
		d.Length = plus(d.Length, group.Length*group.Files)
	}
	list := slices.DeleteFunc(g.order, func(group *Duplicate) bool { return group.Size == 0 })
	slices.SortStableFunc(list, func(a, b *Duplicate) int { return compare(b.Size, a.Size) })
	for _, group := range list[:min(len(list), MaxGroups)] {
		d.Groups = append(d.Groups, *group)
	}
	return d, nil
}

// copyDir copies directories; their files are those of the original.
func (w *walk) copyDir(dir *tree.Inode) *tree.Inode {
	c := *dir
	c.Entries = slices.Clone(w.measurable(dir))
	for n, e := range c.Entries {
		if e.Inode.IsDir() {
			c.Entries[n].Inode = w.copyDir(e.Inode)
		}
	}
	return &c
}

// measurable returns the entries of a directory without files that are larger
// than the file system, and thus mostly hole: to read them could take forever.
// What Nix keeps for itself in the store is no part of it either.
func (w *walk) measurable(dir *tree.Inode) []tree.Entry {
	fits := func(e tree.Entry) bool {
		return !(e.Inode.IsRegular() && e.Inode.Size() > w.limit) && e.Name != ".links"
	}
	if !slices.ContainsFunc(dir.Entries, func(e tree.Entry) bool { return !fits(e) }) {
		return dir.Entries
	}
	var list []tree.Entry
	for _, e := range dir.Entries {
		if fits(e) {
			list = append(list, e)
		}
	}
	return list
}

// grouping compares a tree with what optimisation made of it.
type grouping struct {
	w       *walk
	groups  map[*tree.Inode]*Duplicate // by the file that stays
	counted map[*tree.Inode]bool       // files that would go
	order   []*Duplicate
}

func (g *grouping) compare(path string, entries []tree.Entry, linked *tree.Inode) {
	for n, e := range entries {
		below := path + "/" + e.Name
		stays := linked.Entries[n].Inode
		switch {
		case e.Inode.IsDir():
			g.compare(below, g.w.measurable(e.Inode), stays)
		case stays != e.Inode:
			g.add(below, e.Inode, stays)
		}
	}
}

// add notes that a file would become another name of the one that stays.
func (g *grouping) add(path string, goes, stays *tree.Inode) {
	if g.counted[goes] {
		return // by another name
	}
	g.counted[goes] = true
	group := g.groups[stays]
	if group == nil {
		group = &Duplicate{Names: make([]inspect.Name, 1)}
		if stays.IsRegular() {
			group.Length = stays.Size()
		}
		g.groups[stays] = group
		g.order = append(g.order, group)
	}
	group.Files++
	group.Size = plus(group.Size, g.w.size(goes))
	if len(group.Names) < maxNames {
		group.Names = append(group.Names, inspect.NewName(path))
	}
}

// nameFirst names the files that stay, by the first path that leads to them.
func (g *grouping) nameFirst(path string, linked *tree.Inode) {
	for _, e := range linked.Entries {
		below := path + "/" + e.Name
		if e.Inode.IsDir() {
			g.nameFirst(below, e.Inode)
		} else if group := g.groups[e.Inode]; group != nil && group.Names[0] == (inspect.Name{}) {
			group.Names[0] = inspect.NewName(below)
		}
	}
}
