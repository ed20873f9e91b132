package du

import (
	"context"
	"math"
	"slices"
	"strings"

	"diskwright/diskmap"
	"diskwright/filesystem/ext4"
	"diskwright/filesystem/ext4/ondisk"
	"diskwright/filesystem/zfs/volume"
	"diskwright/inspect"
	"diskwright/tree"
)

// Node is a file, or a directory with what is below it.
type Node struct {
	Name     string // bytes; that of the root is empty
	Kind     Kind
	Size     int64   // of the blocks
	Length   int64   // of what files hold
	Files    int64   // files and directories, itself included; 0 if it was counted elsewhere
	Children []*Node // the largest first, then by name
}

// IsDir reports whether n is a directory.
func (n *Node) IsDir() bool { return n.Kind == Directories }

// walk measures a tree.
type walk struct {
	root  *tree.Inode
	sizes map[*tree.Inode]int64 // of the blocks; of ext and ZFS only
	block int64                 // what sizes are rounded up to, of FAT
	limit int64                 // no file can take more
	modes bool
	seen  map[*tree.Inode]bool // files that may have another name
	kinds map[Kind]*KindUse
}

func newWalk(ctx context.Context, files inspect.Files, fs inspect.FileSystem) (*walk, error) {
	w := &walk{block: fs.BlockSize, limit: fs.Size, seen: make(map[*tree.Inode]bool), kinds: make(map[Kind]*KindUse)}
	note := func(i *tree.Inode, size int64, several bool) {
		w.sizes[i] = size
		if several && !i.IsDir() {
			w.seen[i] = false
		}
	}
	var err error
	switch v := files.(type) {
	case *ext4.Volume:
		w.modes, w.sizes = true, make(map[*tree.Inode]int64)
		w.root, err = v.TreeFunc(ctx, func(i *tree.Inode, n *ext4.Node) { note(i, blocksOf(n, fs), n.Links > 1) })
	case *volume.Files:
		w.modes, w.sizes = true, make(map[*tree.Inode]int64)
		w.root, err = v.TreeFunc(ctx, func(i *tree.Inode, n *volume.Node) { note(i, min(n.Used, fs.Size), n.Links > 1) })
	default:
		w.root, err = files.Tree(ctx)
	}
	return w, err
}

// sector is what i_blocks counts.
const sector = 512

// blocksOf returns what the inode says to take, or what its content would if that
// cannot be: more than there is.
func blocksOf(n *ext4.Node, fs inspect.FileSystem) int64 {
	unit := int64(sector)
	if n.Flags&ondisk.FlagHugeFile != 0 {
		unit = fs.BlockSize
	}
	if n.Blocks > uint64(fs.Size/unit) {
		return min(int64(min(n.Size, math.MaxInt64)), fs.Size)
	}
	return int64(n.Blocks) * unit
}

// size returns what a file takes by itself.
func (w *walk) size(i *tree.Inode) int64 {
	if w.sizes != nil {
		return w.sizes[i]
	}
	data := i.Size()
	if m, ok := i.Content.(*diskmap.Map); ok {
		data = m.DataSize()
	}
	if w.block > 0 {
		data = (data + w.block - 1) / w.block * w.block
	}
	return min(data, w.limit)
}

// node measures a file and all below it, once for each inode. Parent is the name
// of the directory that it is in, and where the kind that this says.
func (w *walk) node(parent, name string, i *tree.Inode, where Kind) *Node {
	n := &Node{Name: name, Kind: kindOf(name, i, where, w.modes)}
	if again, shared := w.seen[i]; shared {
		if again {
			return n
		}
		w.seen[i] = true
	}
	n.Files = 1
	n.Size = w.size(i)
	if i.IsRegular() {
		n.Length = i.Size()
	}
	use := w.kinds[n.Kind]
	if use == nil {
		use = &KindUse{Kind: n.Kind}
		w.kinds[n.Kind] = use
	}
	use.Files++
	use.Size = plus(use.Size, n.Size)
	use.Length = plus(use.Length, n.Length)
	if !i.IsDir() {
		return n
	}
	below := placeOf(parent, name)
	if below == "" {
		below = where
	}
	n.Children = make([]*Node, 0, len(i.Entries))
	for _, e := range i.Entries {
		child := w.node(name, e.Name, e.Inode, below)
		n.Children = append(n.Children, child)
		n.Size = plus(n.Size, child.Size)
		n.Length = plus(n.Length, child.Length)
		n.Files += child.Files
	}
	slices.SortStableFunc(n.Children, func(a, b *Node) int { return compare(b.Size, a.Size) })
	return n
}

func (w *walk) kindList() []KindUse {
	list := []KindUse{}
	for _, kind := range Kinds {
		if use := w.kinds[kind]; use != nil {
			list = append(list, *use)
		}
	}
	slices.SortStableFunc(list, func(a, b KindUse) int { return compare(b.Size, a.Size) })
	return list
}

// plus adds sizes. Those of a hostile image may be too large for their sum.
func plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Directory is a directory with its path.
type Directory struct {
	Path string // bytes
	*Node
}

// Directories returns the root and the directories at most depth levels below it,
// the largest first; top bounds their number, if it is positive.
func (n *Node) Directories(depth, top int) []Directory {
	var list []Directory
	var walk func(path string, n *Node, depth int)
	walk = func(path string, n *Node, depth int) {
		list = append(list, Directory{path, n})
		if depth == 0 {
			return
		}
		for _, child := range n.Children {
			if child.IsDir() {
				walk(strings.TrimSuffix(path, "/")+"/"+child.Name, child, depth-1)
			}
		}
	}
	walk("/", n, depth)
	slices.SortStableFunc(list, func(a, b Directory) int { return compare(b.Size, a.Size) })
	if top > 0 && len(list) > top {
		list = list[:top]
	}
	return list
}

// areas tells what the metadata of a file system is.
func areas(files inspect.Files, metadata int64) []Area {
	list := []Area{}
	add := func(what string, size int64) {
		if size = min(size, metadata); size > 0 {
			list = append(list, Area{what, size})
			metadata -= size
		}
	}
	rest := "boot sectors, allocation tables and directories"
	if v, ok := files.(*ext4.Volume); ok {
		rest = "superblocks, descriptors, bitmaps and what is reserved for growth"
		s := v.Superblock()
		if s.Features.HasCompat(ondisk.CompatHasJournal) {
			if journal, err := v.Node(s.JournalInode); err == nil {
				add("journal", int64(min(journal.Blocks, math.MaxInt64/sector))*sector)
			}
		}
		add("inode tables", int64(s.Inodes)*int64(s.InodeSize))
	}
	if _, ok := files.(*volume.Files); ok {
		rest = "dnodes, the pool's own objects, and what only snapshots and volumes have"
	}
	add(rest, metadata)
	return list
}
