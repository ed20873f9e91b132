package diff

import (
	"cmp"
	"fmt"
	"slices"

	"diskwright/filesystem/ext4"
	"diskwright/tree"
)

// explain goes through the blocks of an ext4 that differ, and notes those that
// nothing found so far explains: a field of the superblock or of a descriptor
// its block, a change of a file its inode and its data, a change of names or
// attributes whatever else is allocated.
func (c *comparison) explain(p part, differ blocks, w *walk) error {
	areasA, err := w.volumeA.Areas()
	if err != nil {
		return fmt.Errorf("%q: %w", c.a.File, err)
	}
	x := &explainer{
		walk: w, areas: areasA, block: int64(w.volumeA.Superblock().BlockSize()),
		fields: c.fieldsDiffer(fmt.Sprintf("file system %d", p.number)),
		inodes: w.inodesChanged(),
		owners: [2][]owner{owners(w.rootA, w), owners(w.rootB, w)},
		rest:   make(map[string]blocks),
	}
	for _, off := range differ.offsets() {
		if err := x.explainBlock(off); err != nil {
			return err
		}
	}
	for _, what := range x.order {
		n, first := x.rest[what].count()
		c.result.Bytes = append(c.result.Bytes, Bytes{p.where, what, first, n, blockSize})
	}
	return nil
}

type explainer struct {
	*walk
	areas  []ext4.Area
	block  int64 // size of a block of the file system
	fields bool  // of superblock or descriptors differ
	inodes map[uint32]bool
	owners [2][]owner // in A and in B
	order  []string
	rest   map[string]blocks // what nothing explains, by what it is
}

// owner says whose the bytes from place on are.
type owner struct {
	place, n int64
	changed  bool
	path     string
}

// owners returns whose the bytes are that files of a tree lie in, in the order of
// their places.
func owners(root *tree.Inode, w *walk) (list []owner) {
	var walk func(path string, i *tree.Inode)
	walk = func(path string, i *tree.Inode) {
		if i.IsRegular() {
			places, _ := pieces(i.Content)
			for _, p := range places {
				list = append(list, owner{p.place, p.n, w.changed[i], path})
			}
		}
		for _, e := range i.Entries {
			walk(join(path, e.Name), e.Inode)
		}
	}
	walk("/", root)
	slices.SortFunc(list, func(a, b owner) int { return cmp.Compare(a.place, b.place) })
	return list
}

// inodesChanged returns the numbers of inodes of which something differs.
func (w *walk) inodesChanged() map[uint32]bool {
	set := make(map[uint32]bool)
	for i := range w.changed {
		for _, nodes := range []map[*tree.Inode]node{w.nodesA, w.nodesB} {
			if n, ok := nodes[i]; ok {
				set[uint32(n.number)] = true
			}
		}
	}
	return set
}

func (x *explainer) note(what string, off int64) {
	if x.rest[what] == nil {
		x.rest[what] = make(blocks)
		x.order = append(x.order, what)
	}
	x.rest[what].add(off)
}

// explainBlock notes 4 KiB that differ, unless something explains one of the blocks
// of the file system in it.
func (x *explainer) explainBlock(off int64) error {
	found := ""
	for at := off; at < off+blockSize; at += x.block {
		what, explained, err := x.what(uint64(at/x.block), at)
		if err != nil || explained {
			return err
		}
		if found == "" {
			found = what
		}
	}
	if found == "" {
		found = "blocks that nothing uses"
	}
	x.note(found, off)
	return nil
}

// what returns what a block is for, and whether a difference of it is explained.
func (x *explainer) what(number uint64, off int64) (what string, explained bool, err error) {
	if a := x.area(number); a != nil {
		switch a.Kind {
		case ext4.JournalArea:
			return a.String(), false, nil
		case ext4.InodeTableArea:
			return a.String(), x.explainsInodes(a, number), nil
		case ext4.BlockBitmapArea, ext4.InodeBitmapArea:
			return a.String(), x.namesOrAttributes || len(x.files) > 0 && x.fields, nil
		}
		return a.String(), x.fields, nil
	}
	if o := x.owner(off); o != nil {
		if o.changed {
			return "", true, nil
		}
		return fmt.Sprintf("behind the end of %q in its last block", o.path), false, nil
	}
	usedA, err := x.volumeA.Allocated(number)
	if err != nil {
		return "", false, err
	}
	usedB, err := x.volumeB.Allocated(number)
	if err != nil {
		return "", false, err
	}
	if usedA || usedB {
		return "directories, maps of files or attributes", x.namesOrAttributes, nil
	}
	return "", false, nil
}

func (x *explainer) area(number uint64) *ext4.Area {
	n, found := slices.BinarySearchFunc(x.areas, number, func(a ext4.Area, number uint64) int {
		switch {
		case number < a.First:
			return 1
		case number >= a.First+a.Count:
			return -1
		}
		return 0
	})
	if !found {
		return nil
	}
	return &x.areas[n]
}

// explainsInodes reports whether an inode in a block of an inode table is known
// to differ.
func (x *explainer) explainsInodes(a *ext4.Area, number uint64) bool {
	perBlock := uint32(x.block) / uint32(x.volumeA.Superblock().InodeSize)
	first := uint32(a.Group)*x.volumeA.Superblock().InodesPerGroup + 1 + uint32(number-a.First)*perBlock
	for n := range perBlock {
		if x.inodes[first+n] {
			return true
		}
	}
	return false
}

// owner returns the file that has bytes of the block at off in either image, the
// one that differs if there are two.
func (x *explainer) owner(off int64) (found *owner) {
	for _, list := range x.owners {
		n, exact := slices.BinarySearchFunc(list, off, func(o owner, off int64) int { return cmp.Compare(o.place, off) })
		if !exact {
			n-- // the one that begins in front of off
		}
		for n = max(n, 0); n < len(list) && list[n].place < off+min(x.block, blockSize); n++ {
			o := &list[n]
			if off < o.place+(o.n+x.block-1)/x.block*x.block && (found == nil || o.changed) {
				found = o
			}
		}
	}
	return found
}
