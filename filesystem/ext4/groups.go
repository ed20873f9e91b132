package ext4

import "diskwright/diskmap"

// usage says what a finished file system uses: the layout's own blocks, every
// block below a mark, and the inodes up to one. It stands for all bitmaps and
// counts of free blocks, which are made from it when they are asked for.
type usage struct {
	*layout
	inodes uint32
	dirs   []uint32
	used   []run // ascending, merged
}

// newUsage returns the usage in which all blocks below end and inodes 1 to
// inodes are in use, dirs[g] of them as directories of group g (root and
// lost+found included; it may be shorter than the number of groups).
func (l *layout) newUsage(end int64, inodes uint32, dirs []uint32) *usage {
	return &usage{layout: l, inodes: inodes, dirs: dirs}
}

// freeBlocks returns the number of free blocks.
func (u *usage) freeBlocks() int64 { return 0 }

// place puts into b what the layout makes: superblocks and descriptors with
// their backups, the resize inode's blocks, bitmaps, the journal and the orphan
// file. Inode tables, the root directory and lost+found are not among it.
func (u *usage) place(b *diskmap.Builder) {}
