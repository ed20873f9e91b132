// Package diff compares two disk images: their containers, partition tables, file
// systems and files.
//
//	bytes ──► same: nothing else is read
//	  │
//	  └ blocks that differ ─┬► fields of container, table, file systems, by name
//	                        └► files, walked together: what has the same blocks,
//	                           none of which differ, is the same and not read again
//
// The bytes of the disks are compared first, each once, and holes not at all.
// Where they are the same the disks are. Otherwise the differences are explained
// from the top down: a field, a file, and only what neither explains as blocks.
package diff

import (
	"context"
	"fmt"
	"path"
	"strings"
	"sync"

	"diskwright/content"
	"diskwright/filesystem/ext4"
	"diskwright/filesystem/zfs/volume"
	"diskwright/inspect"
	"diskwright/partition"
	"diskwright/progress"
	"diskwright/tree"
)

// Options of a comparison. The zero value compares everything.
type Options struct {
	// Exclude are patterns as of [path.Match] of paths, or of names if they have
	// no slash: what matches is not compared, nor what is below it.
	Exclude []string
	// ContentOnly compares what files hold, their types and which there are;
	// nothing else.
	ContentOnly bool
	Workers     int
	Progress    progress.Sink // may be nil
}

// Result is how two images differ. It is empty if they are the same.
type Result struct {
	// Fields are those of the container, the partition table and the file
	// systems that differ.
	Fields []Field `json:"fields"`
	// FileSystems are those of which files differ.
	FileSystems []FileSystem `json:"fileSystems"`
	// Bytes are differences that are in no field and no file.
	Bytes []Bytes `json:"bytes"`
}

// Same reports whether there is no difference.
func (r *Result) Same() bool { return len(r.Fields)+len(r.FileSystems)+len(r.Bytes) == 0 }

// Field is a value with a name. A or B is empty if only the other image has it.
type Field struct {
	Where string `json:"where"` // "container", "disk", "partition 1", "file system 1"
	Name  string `json:"name"`
	A     string `json:"a"`
	B     string `json:"b"`
}

// FileSystem is the differences of the files of a partition.
type FileSystem struct {
	Partition int    `json:"partition"` // number in the table; 0 is the whole disk
	Type      string `json:"type"`
	// Packages are the store paths of Nix that only one of the images has, by the
	// names of packages.
	Packages []Package `json:"packages,omitempty"`
	Files    []File    `json:"files"` // sorted by path
}

// File is a file that differs.
type File struct {
	inspect.Name
	// Only says that one of the images has it, "a" or "b".
	Only string `json:"only,omitempty"`
	// Type and Size are those of the file that there is, or of that in B.
	Type string `json:"type"`
	Size int64  `json:"size"`
	// Changes are what differs, if both have it.
	Changes []Change `json:"changes,omitempty"`
}

// Change is one thing in which a file differs.
type Change struct {
	Kind Kind   `json:"kind"`
	A    string `json:"a,omitempty"`
	B    string `json:"b,omitempty"`
	// Offset is the first byte in which the content differs.
	Offset *int64 `json:"offset,omitempty"`
	// Text is the difference of small text files, in the unified format.
	Text string `json:"text,omitempty"`
}

// Kind is what differs of a file.
type Kind string

// The kinds of changes.
const (
	Type    Kind = "type"
	Mode    Kind = "mode"
	Owner   Kind = "owner"
	Times   Kind = "times"
	Links   Kind = "links"  // the names that lead to the file
	Device  Kind = "device" // numbers
	Xattrs  Kind = "xattrs"
	Content Kind = "content"
	Layout  Kind = "layout" // the same content in other blocks
	Inode   Kind = "inode"  // number, generation, flags
)

// Bytes is a part of the disks that differs.
type Bytes struct {
	Where  string `json:"where"`          // "partition 2", "outside of partitions"
	What   string `json:"what,omitempty"` // what lies there, if that is known: "journal", "unused blocks"
	Offset int64  `json:"offset"`         // of the first block that differs, from the start of the part
	Count  int64  `json:"count"`          // blocks that differ
	Size   int64  `json:"size"`           // of a block
}

// Images compares two images.
func Images(ctx context.Context, a, b *inspect.Image, opts Options) (*Result, error) {
	c := &comparison{ctx: ctx, a: a, b: b, opts: opts, result: &Result{Fields: []Field{}, FileSystems: []FileSystem{}, Bytes: []Bytes{}}}
	for _, pattern := range opts.Exclude {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("%q is not a pattern: %w", pattern, err)
		}
	}
	if !opts.ContentOnly {
		c.fields()
	}
	parts := c.parts()
	total := int64(0)
	for _, p := range parts {
		total += p.dataSize()
	}
	progress.Phase(opts.Progress, "comparing", total)
	if c.done = progress.Adder(opts.Progress); c.done == nil {
		c.done = func(int64) {}
	}
	for _, p := range parts {
		if err := c.part(p); err != nil {
			return nil, err
		}
	}
	return c.result, nil
}

type comparison struct {
	ctx    context.Context
	a, b   *inspect.Image
	opts   Options
	done   func(n int64)
	result *Result
}

// part is something that both disks have.
type part struct {
	where  string
	number int // of the partition, or one of the following
	a, b   side
}

// Numbers of parts that are no partitions.
const (
	noPartition = -1 // what lies in front of, between and behind them
	tableItself = -2 // a copy of the partition table
)

// dataSize returns about how much there is to read.
func (p part) dataSize() int64 {
	set := make(map[int64]bool)
	p.a.regionsOf(set)
	p.b.regionsOf(set)
	return int64(len(set)) * regionSize
}

// parts returns the partitions that both disks have, by their numbers, and what
// lies in front of, between and behind them, as far as both have it at the same
// place.
func (c *comparison) parts() (list []part) {
	diskA, diskB := c.a.Disk(), c.b.Disk()
	whole := part{"the disk", 0, side{diskA, 0, diskA.Size()}, side{diskB, 0, diskB.Size()}}
	if len(c.a.Table.Partitions) == 0 && len(c.b.Table.Partitions) == 0 {
		return []part{whole}
	}
	first, end := c.usable()
	outside := func(from, to int64) {
		add := func(where string, number int, from, to int64) {
			if from < to {
				list = append(list, part{where, number, side{diskA, from, to}, side{diskB, from, min(to, diskB.Size())}})
			}
		}
		add("partition table", tableItself, from, min(to, first))
		add("outside of partitions", noPartition, max(from, first), min(to, end))
		add("partition table", tableItself, max(from, end), to)
	}
	at := int64(0)
	for _, p := range c.a.Table.Placed() {
		from := c.a.Table.Offset(p)
		outside(at, from)
		at = max(at, from+c.a.Table.Size(p))
		for _, q := range c.b.Table.Partitions {
			if q.Number == p.Number && q.Role != partition.Extended {
				list = append(list, part{fmt.Sprintf("partition %d", p.Number), p.Number, sideOf(c.a, p), sideOf(c.b, q)})
			}
		}
	}
	// What is behind the last partition of either.
	for _, q := range c.b.Table.Placed() {
		at = max(at, c.b.Table.Offset(q)+c.b.Table.Size(q))
	}
	outside(at, min(diskA.Size(), diskB.Size()))
	for n, p := range list {
		list[n].b.to = max(p.b.off, p.b.to)
	}
	return list
}

// usable returns what is not taken by either disk's table, in bytes.
func (c *comparison) usable() (from, to int64) {
	firstA, endA := c.a.Table.Usable()
	firstB, endB := c.b.Table.Usable()
	sizeA, sizeB := c.a.Table.SectorSize, c.b.Table.SectorSize
	return max(firstA*sizeA, firstB*sizeB), min(endA*sizeA, endB*sizeB)
}

func sideOf(img *inspect.Image, p partition.Partition) side {
	from := min(img.Table.Offset(p), img.DiskSize)
	return side{img.Disk(), from, min(from+img.Table.Size(p), img.DiskSize)}
}

// part compares a part of the disks.
func (c *comparison) part(p part) error {
	differ, err := compareBytes(c.ctx, p.a, p.b, c.opts.Workers, c.done)
	if err != nil {
		return err
	}
	moved := p.number >= 0 && p.a.size() != p.b.size()
	if len(differ) == 0 && !moved {
		return nil
	}
	if p.number < 0 {
		// The table is compared by its fields, and its checksums follow.
		if !c.opts.ContentOnly && (p.number != tableItself || !c.fieldsDiffer("disk", "partition")) {
			c.bytes(p.where, differ)
		}
		return nil
	}
	found, err := c.fileSystem(p.number, differ)
	if err != nil || c.opts.ContentOnly && found != nil {
		return err
	}
	if found != nil && found.volumeA != nil && found.volumeB != nil {
		return c.explain(p, differ, found)
	}
	if found == nil && len(differ) > 0 || found != nil && len(found.files) == 0 && !c.fieldsDiffer(fmt.Sprintf("file system %d", p.number)) {
		c.bytes(p.where, differ)
	}
	return nil
}

// fieldsDiffer reports whether a field was found to differ in a place that begins
// with one of the words.
func (c *comparison) fieldsDiffer(places ...string) bool {
	for _, f := range c.result.Fields {
		for _, p := range places {
			if strings.HasPrefix(f.Where, p) {
				return true
			}
		}
	}
	return false
}

func (c *comparison) bytes(where string, differ blocks) {
	if n, first := differ.count(); n > 0 {
		c.result.Bytes = append(c.result.Bytes, Bytes{Where: where, Offset: first, Count: n, Size: blockSize})
	}
}

// fileSystem compares the files of a partition. It returns nil if not both images
// have some there that can be read.
func (c *comparison) fileSystem(number int, differ blocks) (*walk, error) {
	fsA, fsB := c.a.FileSystem(number), c.b.FileSystem(number)
	if fsA == nil || fsB == nil || !fsA.Detailed || !fsB.Detailed {
		return nil, nil
	}
	w := &walk{comparison: c, differ: differ}
	var errA, errB error
	var reading sync.WaitGroup
	reading.Go(func() { w.rootA, w.volumeA, w.nodesA, errA = c.tree(c.a, number) })
	w.rootB, w.volumeB, w.nodesB, errB = c.tree(c.b, number)
	reading.Wait()
	if errA != nil {
		return nil, fmt.Errorf("%q: %w", c.a.File, errA)
	}
	if errB != nil {
		return nil, fmt.Errorf("%q: %w", c.b.File, errB)
	}
	w.names = newNames(w.rootA, w.rootB)
	if err := w.pair("/", w.rootA, w.rootB); err != nil {
		return nil, err
	}
	if len(w.files) > 0 {
		c.result.FileSystems = append(c.result.FileSystems, FileSystem{number, fsB.Type, packagesOf(w.files), w.files})
	}
	return w, nil
}

// node is what an inode of ext4 or ZFS has and a tree has not.
type node struct {
	number, generation, flags uint64
	atime, ctime, crtime      tree.Time
}

// tree returns the files of a partition, and what else is known of their inodes
// and of the volume, if it is ext4.
func (c *comparison) tree(img *inspect.Image, number int) (*tree.Inode, *ext4.Volume, map[*tree.Inode]node, error) {
	files, err := img.Files(number)
	if err != nil {
		return nil, nil, nil, err
	}
	nodes := make(map[*tree.Inode]node)
	switch v := files.(type) {
	case *ext4.Volume:
		root, err := v.TreeFunc(c.ctx, func(i *tree.Inode, n *ext4.Node) {
			nodes[i] = node{
				uint64(n.Number), uint64(n.Generation), uint64(n.Flags),
				tree.Time(n.Atime), tree.Time(n.Ctime), tree.Time(n.Crtime),
			}
		})
		return root, v, nodes, err
	case *volume.Files:
		root, err := v.TreeFunc(c.ctx, func(i *tree.Inode, n *volume.Node) {
			nodes[i] = node{n.Object, n.Generation, n.Flags, tree.Time(n.Atime), tree.Time(n.Ctime), tree.Time(n.Crtime)}
		})
		return root, nil, nodes, err
	}
	root, err := files.Tree(c.ctx)
	return root, nil, nil, err
}

// sameBlocks reports whether two contents lie in the same blocks, none of which
// differ.
func sameBlocks(a, b content.Source, differ blocks) (place, bytes bool) {
	pa, knownA := pieces(a)
	pb, knownB := pieces(b)
	if knownA != knownB || len(pa) != len(pb) {
		return false, false
	}
	if !knownA {
		return true, false // not known to be anywhere else
	}
	bytes = true
	for n, p := range pa {
		if p != pb[n] {
			return false, false
		}
		bytes = bytes && !differ.touches(p.place, p.n)
	}
	return true, bytes
}
