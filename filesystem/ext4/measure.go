package ext4

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"diskwright/content"
	"diskwright/filesystem/ext4/ondisk"
	"diskwright/tree"
)

// Need is what a tree asks of a file system. It holds on to the tree, which
// must not change while it is in use.
type Need struct {
	// Inodes is how many inodes the file system must have: those of the
	// tree, and those that every file system reserves. Add to it in
	// [Options] where some shall be free.
	Inodes int64

	// Blocks is how many blocks of 4,096 bytes directories, symbolic links,
	// attributes, files and what maps them fill. Files of many extents may
	// take a few more, depending on where they come to lie.
	Blocks int64

	*census
}

// Limits of what an inode can be.
const (
	// linkMax is the highest count of links: EXT4_LINK_MAX. The kernel
	// gives directories with more subdirectories the count 1 (dir_nlink).
	linkMax = 65000

	// targetMax is the longest target of a symbolic link: a block with a
	// zero behind it. fastTargetMax is the longest that fits i_block so.
	targetMax     = blockSize - 1
	fastTargetMax = 59

	// fileMaxExtents is the largest file with extents: blocks are counted
	// in 32 bits. fileMaxIndirect is the kernel's limit with indirect blocks
	// and without huge_file (ext4_max_bitmap_size): i_blocks counts sectors in
	// 32 bits, all levels of indirect blocks among them.
	fileMaxExtents  = (1<<32 - 1) * blockSize
	fileMaxIndirect = ((1<<32-1)/sectorsPerBlock - (3 + 2*entriesInBlock + entriesInBlock*entriesInBlock)) * blockSize

	sectorsPerBlock = blockSize / 512

	// Device numbers have 12 bits for the major, 20 for the minor part.
	majorMax = 1<<12 - 1
	minorMax = 1<<20 - 1
)

const lostFoundName = "lost+found"

// census is what one walk of the tree finds out: everything about it that does
// not depend on the size of the file system and on where things lie.
type census struct {
	opts      Options // without Size and Inodes
	checksums bool

	inodes    []*tree.Inode // by ordinal
	lostFound uint32        // ordinal

	dirs   []directory // the root, lost+found, the others by ordinal
	links  []uint32    // ordinals of symbolic links that need a block
	xattrs xattrTable

	// spans are those of files with holes, by ordinal.
	spans map[uint32][]span

	// blocks is how many blocks everything takes, at least: see Need.
	blocks int64
}

// Measure walks the tree once and returns what it needs of a file system with
// the options, whose size plays no role. It fails where the tree holds what
// the file system cannot, naming the path.
func Measure(root *tree.Inode, opts Options) (Need, error) {
	c := &census{
		opts:      opts.ofTree(),
		checksums: opts.features().HasROCompat(ondisk.ROCompatMetadataCsum),
		spans:     map[uint32][]span{},
	}
	if !root.IsDir() {
		return Need{}, errors.New("the root of the tree is not a directory")
	}
	root = withLostFound(root, opts.Epoch)
	c.inodes = tree.Number(root)
	c.lostFound = root.Child(lostFoundName).Ordinal
	for _, count := range []func() error{c.countDirectories, c.countSmall, c.countFiles} {
		if err := count(); err != nil {
			return Need{}, err
		}
	}
	return Need{Inodes: int64(len(c.inodes)) + reservedInodes(&opts), Blocks: c.blocks, census: c}, nil
}

// ofTree returns the options without what a census does not depend on.
func (o Options) ofTree() Options {
	o.Size, o.Inodes = 0, 0
	return o
}

// reservedInodes returns how many inodes are neither free nor the tree's: 1 and
// 3 to 10, and the orphan file.
func reservedInodes(opts *Options) int64 {
	n := int64(ondisk.InoFirst - 2)
	if opts.features().HasCompat(ondisk.CompatOrphanFile) {
		n++
	}
	return n
}

// withLostFound returns root, or a copy that has a lost+found if root has none.
// e2fsck puts there what it finds without a name.
func withLostFound(root *tree.Inode, epoch int64) *tree.Inode {
	if root.Child(lostFoundName) != nil {
		return root
	}
	dir := tree.NewDir(tree.Time{Sec: epoch})
	dir.Mode = tree.TypeDir | 0o700
	with := *root
	with.Entries = append(make([]tree.Entry, 0, len(root.Entries)+1), root.Entries...)
	with.SetChild(lostFoundName, dir)
	return &with
}

// countDirectories plans the blocks of all directories.
func (c *census) countDirectories() error {
	if !c.inodes[c.lostFound].IsDir() {
		return fmt.Errorf("%q is not a directory, but e2fsck keeps what it finds there", "/"+lostFoundName)
	}
	c.dirs = append(c.dirs, directory{})
	for n := 0; n < len(c.dirs); n++ {
		if err := c.adoptChildren(c.dirs[n].ordinal); err != nil {
			return err
		}
	}
	c.moveLostFound()
	for n := range c.dirs {
		d := &c.dirs[n]
		if err := d.arrange(c); err != nil {
			return c.pathError(d.ordinal, err)
		}
		c.count(d.ordinal, c.directoryBlocks(d))
	}
	return nil
}

// moveLostFound puts lost+found where mke2fs has it: right behind the root.
func (c *census) moveLostFound() {
	i := slices.IndexFunc(c.dirs, func(d directory) bool { return d.ordinal == c.lostFound })
	lostFound := c.dirs[i]
	copy(c.dirs[2:], c.dirs[1:i])
	c.dirs[1] = lostFound
}

// directory returns what is kept of the directory with an ordinal.
func (c *census) directory(ordinal uint32) *directory {
	if ordinal == c.lostFound {
		return &c.dirs[1]
	}
	if ordinal == 0 {
		return &c.dirs[0]
	}
	i, _ := slices.BinarySearchFunc(c.dirs[2:], ordinal, func(d directory, o uint32) int {
		return cmp.Compare(d.ordinal, o)
	})
	return &c.dirs[2+i]
}

// adoptChildren checks the names in a directory and appends its
// subdirectories to the list. They come in the order of their ordinals: both
// orders are breadth first.
func (c *census) adoptChildren(parent uint32) error {
	last := ""
	for _, e := range c.inodes[parent].Entries {
		if err := checkName(e.Name, last); err != nil {
			return c.pathError(parent, err)
		}
		if last = e.Name; !e.Inode.IsDir() {
			continue
		}
		if o := e.Inode.Ordinal; o <= c.dirs[len(c.dirs)-1].ordinal {
			return c.pathError(o, fmt.Errorf("a directory with a second name, %q in %q", e.Name, c.path(parent)))
		}
		c.dirs = append(c.dirs, directory{ordinal: e.Inode.Ordinal, parent: parent})
	}
	return nil
}

// checkName checks an entry's name, and that it is in order behind last.
func checkName(name, last string) error {
	switch {
	case name == "", name == ".", name == "..", strings.IndexByte(name, '/') >= 0, strings.IndexByte(name, 0) >= 0:
		return fmt.Errorf("%q is not a name for a file", name)
	case len(name) > tree.NameMax:
		return fmt.Errorf("the name %q has %d bytes; at most %d are possible", name, len(name), tree.NameMax)
	case name <= last:
		return fmt.Errorf("the names %q and %q are not in order", last, name)
	}
	return nil
}

// countSmall checks all inodes and counts what needs a block each: symbolic
// links and shared attributes.
func (c *census) countSmall() error {
	sharing := newXattrSharing(&c.xattrs)
	for o, inode := range c.inodes {
		o := uint32(o)
		if err := c.check(inode); err != nil {
			return c.pathError(o, err)
		}
		if inode.IsSymlink() && inode.Size() > fastTargetMax {
			c.links = append(c.links, o)
		}
		if len(inode.Xattrs) == 0 {
			continue
		}
		_, block, err := c.splitXattrs(inode)
		if err != nil {
			return c.pathError(o, err)
		}
		if len(block) > 0 {
			sharing.add(o, block)
		}
	}
	c.blocks += int64(len(c.links)) + int64(len(c.xattrs.blocks))
	return nil
}

// check checks what the file system cannot hold in an inode.
func (c *census) check(inode *tree.Inode) error {
	if inode.Mode > 0xffff {
		return fmt.Errorf("the mode %#o has more than 16 bits", inode.Mode)
	}
	if inode.Mtime.Nsec > 999999999 {
		return fmt.Errorf("a time with %d nanoseconds; a second has fewer", inode.Mtime.Nsec)
	}
	switch inode.Type() {
	case tree.TypeDir:
		if inode.Links > linkMax && c.opts.Kind != Ext4 {
			return fmt.Errorf("%d subdirectories; a directory of %s has at most %d", inode.Links-2, c.opts.Kind, linkMax-2)
		}
		return nil
	case tree.TypeRegular:
		if limit := c.fileMax(); inode.Size() > limit {
			return fmt.Errorf("%d bytes; a file of %s has at most %d", inode.Size(), c.opts.Kind, limit)
		}
	case tree.TypeSymlink:
		if err := checkTarget(inode); err != nil {
			return err
		}
	case tree.TypeChar, tree.TypeBlock:
		if inode.Major > majorMax || inode.Minor > minorMax {
			return fmt.Errorf("the device number %d:%d is too large; at most %d:%d is possible", inode.Major, inode.Minor, majorMax, minorMax)
		}
	case tree.TypeFIFO, tree.TypeSocket:
	default:
		return fmt.Errorf("the mode %#o is of no known type", inode.Mode)
	}
	if inode.Links > linkMax {
		return fmt.Errorf("%d hard links; a file of %s has at most %d", inode.Links, c.opts.Kind, linkMax)
	}
	return nil
}

// checkTarget checks the target of a symbolic link, as far as it is in memory.
func checkTarget(inode *tree.Inode) error {
	switch n := inode.Size(); {
	case n == 0:
		return errors.New("a symbolic link to nothing")
	case n > targetMax:
		return fmt.Errorf("a symbolic link of %d bytes; at most %d are possible", n, targetMax)
	}
	if _, ok := inode.Content.(content.Bytes); ok && strings.IndexByte(inode.Target(), 0) >= 0 {
		return fmt.Errorf("a symbolic link to %q, which holds a zero byte", inode.Target())
	}
	return nil
}

// fileMax returns the size of the largest file.
func (c *census) fileMax() int64 {
	if c.opts.Kind == Ext4 {
		return fileMaxExtents
	}
	return fileMaxIndirect
}

// countFiles counts the blocks of regular files.
func (c *census) countFiles() error {
	for o, inode := range c.inodes {
		if !inode.IsRegular() || inode.Content == nil {
			continue
		}
		spans, blocks := spansOf(inode.Content)
		if spans != nil {
			c.spans[uint32(o)] = spans
		}
		c.count(uint32(o), blocks)
	}
	return nil
}

// count adds the blocks of a file or directory and of its map.
func (c *census) count(ordinal uint32, blocks int64) {
	c.blocks += blocks + c.leastNodes(body{spans: c.spansOf(ordinal), blocks: blocks})
}

// splitXattrs divides the attributes of an inode: see the function of that
// name. The old ext2 driver does not look for attributes in inodes.
func (c *census) splitXattrs(inode *tree.Inode) (inInode, inBlock []xattr, err error) {
	room := xattrInInode
	if c.opts.Kind == Ext2 {
		room = 0
	}
	return splitXattrs(inode.Xattrs, room)
}

// pathError puts the path of an inode in front of an error.
func (c *census) pathError(ordinal uint32, err error) error {
	return fmt.Errorf("%q: %w", c.path(ordinal), err)
}

// path returns the path of an inode, the first one if it has several. It
// searches: it is for errors.
func (c *census) path(ordinal uint32) string {
	path := ""
	for ordinal != 0 {
		parent, name := c.nameOf(ordinal)
		ordinal, path = parent, "/"+name+path
	}
	if path == "" {
		return "/"
	}
	return path
}

// nameOf returns the directory in which an inode was met first, and its name
// there. Directories stand in the order in which they were searched.
func (c *census) nameOf(ordinal uint32) (parent uint32, name string) {
	for o, dir := range c.inodes {
		for _, e := range dir.Entries {
			if e.Inode.Ordinal == ordinal && c.inodes[ordinal] == e.Inode {
				return uint32(o), e.Name
			}
		}
	}
	return 0, "?"
}
