package ext4

import (
	"fmt"

	"diskwright/diskmap"
	"diskwright/filesystem/ext4/ondisk"
	"diskwright/tree"
)

// FileSystem is a planned file system: every inode has its number, every file
// its blocks. Nothing of it is written until somebody reads its map.
//
// Blocks are handed out in one sweep upwards through what the layout leaves
// free: all directories, then symbolic links and attributes that need a block,
// then the data of files in the order of their inodes, each followed by the
// blocks that map it. So whoever walks the tree reads one stretch of the disk,
// whoever reads all files of a directory reads another, nothing is
// fragmented, groups behind the sweep stay uninitialised, and whoever writes
// the image has file data in long stretches without metadata in between.
type FileSystem struct {
	*census
	layout *layout
	space  *space
	usage  *usage

	// ranks are where the blocks of each inode begin, by ordinal; dirRanks
	// the same for directories in the order in which they lie. linkRank,
	// xattrRank and fileRank are where symbolic links, attributes and files
	// begin, end is behind everything.
	ranks, dirRanks                    []int64
	linkRank, xattrRank, fileRank, end int64

	// leaves are those of the extent trees that need blocks, by ordinal.
	leaves map[uint32][]uint32

	disk *diskmap.Map
}

// New plans a file system that holds the tree. It reads no content. The tree
// must not change as long as the file system is in use. A tree that does not
// fit is a [NoSpaceError].
func New(root *tree.Inode, opts Options) (*FileSystem, error) {
	need, err := Measure(root, opts)
	if err != nil {
		return nil, err
	}
	return Plan(need, opts)
}

// Plan is New for a tree that has been measured, with the same options but for
// the size and the number of inodes.
func Plan(need Need, opts Options) (*FileSystem, error) {
	if need.census == nil || need.kind != opts.Kind || need.hashSeed != opts.HashSeed {
		return nil, fmt.Errorf("the tree was measured for another file system")
	}
	layout, err := need.layout(opts)
	if err != nil {
		return nil, err
	}
	fs := &FileSystem{
		census: need.census,
		layout: layout,
		space:  newSpace(layout),
		ranks:  make([]int64, len(need.inodes)),
		leaves: map[uint32][]uint32{},
	}
	if err := fs.sweep(need.Blocks); err != nil {
		return nil, err
	}
	fs.usage = layout.newUsage(fs.space.end(fs.end), fs.lastInode(), fs.directoriesByGroup())
	if fs.disk, err = fs.place(opts.Size); err != nil {
		return nil, err
	}
	return fs, nil
}

// layout returns the layout for the options, with the inodes that the tree
// needs.
func (n *Need) layout(opts Options) (*layout, error) {
	opts.Inodes = max(opts.Inodes, n.Inodes)
	geo, err := NewGeometry(&opts)
	if err != nil {
		return nil, err
	}
	return newLayout(&opts, geo)
}

// Map returns the file system as a map of the size that the options gave.
func (fs *FileSystem) Map() *diskmap.Map { return fs.disk }

// Geometry returns the geometry of the file system.
func (fs *FileSystem) Geometry() Geometry { return fs.layout.Geometry }

// Stats are the numbers that df and dumpe2fs show of a file system. Blocks
// have 4,096 bytes.
type Stats struct {
	Blocks, FreeBlocks int64
	ReservedBlocks     int64 // of the free ones, for root
	Inodes, FreeInodes int64
	Files, Directories int64 // lost+found among the directories
}

// Stats returns the numbers of the file system.
func (fs *FileSystem) Stats() Stats {
	return Stats{
		Blocks:         fs.layout.Blocks,
		FreeBlocks:     fs.space.blocks - fs.end,
		ReservedBlocks: fs.layout.ReservedBlocks,
		Inodes:         fs.layout.Inodes,
		FreeInodes:     fs.layout.Inodes - int64(fs.lastInode()),
		Files:          int64(len(fs.inodes) - len(fs.dirs)),
		Directories:    int64(len(fs.dirs)),
	}
}

// NoSpaceError says that a tree does not fit. Blocks have 4,096 bytes.
type NoSpaceError struct {
	Size              int64 // of the file system in bytes
	Needed, Available int64 // blocks
}

// Error says what is needed, what there is and what is missing.
func (e *NoSpaceError) Error() string {
	missing := e.Needed - e.Available
	return fmt.Sprintf("the tree needs %d blocks of %d bytes, but a file system of %d bytes has room for %d: %d blocks (%d bytes) are missing",
		e.Needed, blockSize, e.Size, e.Available, missing, missing*blockSize)
}

// sweep gives every inode its blocks. blocks is what they need at least.
func (fs *FileSystem) sweep(blocks int64) error {
	hint := 0
	give := func(ordinal uint32, count int64) error {
		if fs.end+count > fs.space.blocks {
			return fs.noSpace(blocks)
		}
		fs.ranks[ordinal] = fs.end
		nodes := fs.mapNodes(ordinal, count, &hint)
		fs.end += count + nodes
		if fs.kind == Ext4 {
			blocks += nodes
		}
		return nil
	}
	if blocks > fs.space.blocks {
		return fs.noSpace(blocks)
	}
	fs.dirRanks = make([]int64, len(fs.dirs))
	for i := range fs.dirs {
		d := &fs.dirs[i]
		fs.dirRanks[i] = fs.end
		if err := give(d.ordinal, fs.directoryBlocks(d)); err != nil {
			return err
		}
	}
	fs.linkRank = fs.end
	for i, o := range fs.links {
		fs.ranks[o] = fs.linkRank + int64(i)
	}
	fs.xattrRank = fs.linkRank + int64(len(fs.links))
	fs.fileRank = fs.xattrRank + int64(len(fs.xattrs.blocks))
	fs.end = fs.fileRank
	for o, inode := range fs.inodes {
		if !inode.IsRegular() {
			continue
		}
		if err := give(uint32(o), fs.dataBlocks(uint32(o))); err != nil {
			return err
		}
	}
	if fs.end > fs.space.blocks {
		return fs.noSpace(blocks)
	}
	return nil
}

func (fs *FileSystem) noSpace(needed int64) error {
	return &NoSpaceError{Size: fs.layout.Blocks * blockSize, Needed: needed, Available: fs.space.blocks}
}

// mapNodes returns how many blocks the map of an inode with count blocks takes,
// and remembers the leaves of an extent tree that has any. hint is where the
// sweep is.
func (fs *FileSystem) mapNodes(ordinal uint32, count int64, hint *int) int64 {
	if count == 0 {
		return 0
	}
	b := fs.body(ordinal)
	if fs.kind != Ext4 {
		return indirectNodes(b.chunks())
	}
	var within bool
	if *hint, within = fs.space.within(*hint, b.rank, count); within && b.spans == nil && count <= ondisk.ExtentMax {
		return 0
	}
	leaves := b.extentLeaves(fs.space)
	if leaves == nil {
		return 0
	}
	fs.leaves[ordinal] = leaves
	return (&extentTree{leaves: leaves}).nodes()
}

// dataBlocks returns how many blocks an inode has, without those of its map.
func (c *census) dataBlocks(ordinal uint32) int64 {
	switch inode := c.inodes[ordinal]; inode.Type() {
	case tree.TypeDir:
		return c.directoryBlocks(c.directory(ordinal))
	case tree.TypeSymlink:
		if inode.Size() > fastTargetMax {
			return 1
		}
	case tree.TypeRegular:
		if spans := c.spansOf(ordinal); spans != nil {
			return spanBlocks(spans)
		}
		return blocksFor(inode.Size())
	}
	return 0
}

// spansOf returns the spans of a file with holes, nil for any other inode.
func (c *census) spansOf(ordinal uint32) []span {
	if _, sparse := c.inodes[ordinal].Content.(*diskmap.Map); !sparse {
		return nil
	}
	return c.spans[ordinal]
}

// body returns the blocks of an inode.
func (fs *FileSystem) body(ordinal uint32) body {
	return body{fs.spansOf(ordinal), fs.dataBlocks(ordinal), fs.ranks[ordinal]}
}

// blockMap returns how an inode says where its blocks are.
func (fs *FileSystem) blockMap(ordinal uint32) blockMap {
	b := fs.body(ordinal)
	if fs.kind != Ext4 {
		return newIndirectMap(b, fs.space, b.chunks())
	}
	return &extentTree{
		body:   b,
		space:  fs.space,
		seed:   fs.inodeSeed(fs.ino(ordinal)),
		seal:   fs.checksums,
		leaves: fs.leaves[ordinal],
	}
}
