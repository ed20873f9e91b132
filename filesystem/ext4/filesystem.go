package ext4

import (
	"diskwright/diskmap"
	"diskwright/tree"
)

// FileSystem is a planned file system: every inode has its number, every file
// its blocks. Nothing of it is written until somebody reads its map.
type FileSystem struct {
	sweep
	layout *layout
	usage  *usage

	// ranks are where the blocks of each inode begin, by ordinal; dirRanks
	// the same for directories in the order in which they lie.
	ranks, dirRanks []int64

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
	if err := need.check(opts); err != nil {
		return nil, err
	}
	l, err := need.layout(opts)
	if err != nil {
		return nil, need.noSpace(opts, nil, err)
	}
	fs := &FileSystem{
		sweep:    sweep{census: need.census, space: newSpace(l)},
		layout:   l,
		ranks:    make([]int64, len(need.inodes)),
		dirRanks: make([]int64, 0, len(need.dirs)),
		leaves:   map[uint32][]uint32{},
	}
	if !fs.run(fs.remember) {
		return nil, need.noSpace(opts, fs.space, nil)
	}
	for i, o := range fs.links {
		fs.ranks[o] = fs.linkRank + int64(i)
	}
	fs.usage = l.newUsage(fs.space.end(fs.end), fs.lastInode(), fs.directoriesByGroup())
	if fs.disk, err = fs.place(opts.Size); err != nil {
		return nil, err
	}
	return fs, nil
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

// remember keeps where an inode has its blocks.
func (fs *FileSystem) remember(ordinal uint32, b body, nodes int64) {
	fs.ranks[ordinal] = b.rank
	if fs.inodes[ordinal].IsDir() {
		fs.dirRanks = append(fs.dirRanks, b.rank)
	}
	if fs.opts.Kind == Ext4 && nodes > 0 {
		fs.leaves[ordinal] = b.extentLeaves(fs.space)
	}
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
	if fs.opts.Kind != Ext4 {
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
