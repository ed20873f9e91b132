package ext4

import (
	"encoding/binary"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/filesystem/ext4/ondisk"
)

// The resize inode (7) is a file made of the reserved descriptor blocks, so that
// nobody else takes them before the kernel or resize2fs does. Its double indirect
// block points to the reserved blocks behind the primary descriptors as if they
// were indirect blocks; each of those points to the blocks at the same place
// behind every backup of the descriptors.
//
//	inode 7 -> resize -> reserved block k of group 0 -> reserved block k of group 1
//	                                                 -> ... of group 3, 5, 7, 9, 25 ...
//
// The place of block k in the double indirect block is that of the descriptors
// it will hold: k behind those in use, modulo what fits.

// placeResizeInode finds the double indirect block. The goal is where, without
// flex_bg, the last block of group 0's inode table is.
func (l *layout) placeResizeInode(s *search) {
	goal := l.superBlocks(0) + 1 + l.InodeBlocks
	l.resize = s.next(goal, 1).start
}

// resizeInode returns inode 7. Its size is what double indirect blocks can map.
func (l *layout) resizeInode() *ondisk.Inode {
	const size = entriesInBlock*entriesInBlock + entriesInBlock + directBlocks
	used := 1 + l.ReservedGDT*int64(1+len(l.backups()))
	inode := l.metadataFile(size, used)
	binary.LittleEndian.PutUint32(inode.Block[entrySize*doubleIndirect:], uint32(l.resize))
	return inode
}

// placeResizeBlocks puts the double indirect block and the reserved blocks of
// group 0 into b. Those of the backups are not written.
func (l *layout) placeResizeBlocks(b *diskmap.Builder) {
	if !l.hasResizeInode() || l.ReservedGDT == 0 {
		return
	}
	le := binary.LittleEndian
	double := make([]byte, blockSize)
	single := make([]byte, l.ReservedGDT*blockSize)
	backups := l.backups()
	for k := range l.ReservedGDT {
		block := 1 + l.DescBlocks + k
		le.PutUint32(double[entrySize*((l.DescBlocks+k)%entriesInBlock):], uint32(block))
		for i, g := range backups {
			le.PutUint32(single[k*blockSize+int64(entrySize*i):], uint32(l.groupStart(g)+block))
		}
	}
	b.Place(l.resize*blockSize, content.Bytes(double))
	if len(backups) > 0 {
		b.Place((1+l.DescBlocks)*blockSize, content.Bytes(single))
	}
}
