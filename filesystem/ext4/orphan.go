package ext4

import (
	"diskwright/diskmap"
	"diskwright/filesystem/ext4/ondisk"
)

// orphanInode is the inode of the orphan file, the first behind lost+found.
const orphanInode = ondisk.InoFirst + 1

// orphanBlocks returns the size of the orphan file: a 4096th of the file
// system, within limits.
func orphanBlocks(blocks int64) int64 { return min(max(blocks/4096, 32), 512) }

// orphanInode returns inode 12: a file that no directory names.
func (l *layout) orphanInode() *ondisk.Inode {
	inode := l.metadataFile(l.OrphanBlocks, l.OrphanBlocks)
	inode.Flags = ondisk.FlagExtents
	putExtents(inode.Block[:], l.orphan)
	return inode
}

// placeOrphanFile puts the blocks of the orphan file into b: tables of inodes
// to delete, empty. The kernel and e2fsck check each block's magic and checksum.
func (l *layout) placeOrphanFile(b *diskmap.Builder) {
	seed := ondisk.InodeSeed(l.seed, orphanInode, 0)
	for _, r := range l.orphan {
		b.Place(r.start*blockSize, generated(r.count, func(p []byte, i int64) error {
			clear(p)
			ondisk.SetOrphanTail(p, uint64(r.start+i), seed)
			return nil
		}))
	}
}
