package ext4

import (
	"encoding/binary"
	"sync"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/filesystem/ext4/ondisk"
)

// usage says what a finished file system uses: the layout's own blocks, every
// block below a mark, and the inodes up to one. It stands for all bitmaps and
// group descriptors, which are made from it when they are asked for: a group that
// nothing uses costs neither memory nor, with checksums, more of the disk than its
// descriptor.
type usage struct {
	*layout
	inodes uint32
	dirs   []uint32
	used   runs
	free   int64 // blocks

	descriptors content.Source // the same for all groups that hold a copy
	// sums are checksums of block bitmaps in which the first blocks are
	// used and the others free, by the number of those: what most groups
	// have.
	mu   sync.RWMutex
	sums map[int64]uint32
}

// newUsage returns the usage in which all blocks below end and inodes 1 to
// inodes are in use, dirs[g] of them as directories of group g (root and
// lost+found included; it may be shorter than the number of groups).
func (l *layout) newUsage(end int64, inodes uint32, dirs []uint32) *usage {
	u := &usage{layout: l, inodes: inodes, dirs: dirs, sums: map[int64]uint32{}}
	u.used = append(runs{{0, end}}, l.static.from(end)...).normalise()
	u.free = l.Blocks - u.used.total()
	perBlock := blockSize / l.DescSize
	u.descriptors = generated(l.DescBlocks, func(p []byte, i int64) error {
		clear(p)
		for g := i * perBlock; g < min((i+1)*perBlock, l.Groups); g++ {
			u.descriptor(p[:l.DescSize], g)
			p = p[l.DescSize:]
		}
		return nil
	})
	return u
}

// freeBlocks returns the number of free blocks.
func (u *usage) freeBlocks() int64 { return u.free }

// place puts into b what the layout makes: superblocks and descriptors with
// their backups, the resize inode's blocks, bitmaps, the journal and the orphan
// file. Inode tables, the root directory and lost+found are not among it.
func (u *usage) place(b *diskmap.Builder) {
	u.placeSuperblocks(b)
	u.placeResizeBlocks(b)
	u.placeBitmaps(b)
	u.placeJournalBlocks(b)
	u.placeOrphanFile(b)
}

// usedIn returns the runs of used blocks in group g, and how many blocks they
// are.
func (u *usage) usedIn(g int64) (used runs, blocks int64) {
	r := u.groupRun(g)
	used = u.used.from(r.start)
	for n, run := range used {
		if run.start >= r.end() {
			return used[:n], blocks
		}
		blocks += min(run.end(), r.end()) - max(run.start, r.start)
	}
	return used, blocks
}

// inodesIn returns how many inodes of group g are used.
func (u *usage) inodesIn(g int64) int64 {
	return min(max(int64(u.inodes)-g*u.InodesPerGroup, 0), u.InodesPerGroup)
}

// hasBlockBitmap reports whether the block bitmap of group g is written, blocks
// of whose blocks are used. Without checksums all are. With them, that of a group
// that uses none is left uninitialised, but for the last group's, which pads the
// file system's end; so do mke2fs since 1.47.1 and the kernel. (Older mke2fs left
// out those of groups with nothing but a backup, too.)
func (u *usage) hasBlockBitmap(g, blocks int64) bool {
	return !u.checksums() || blocks > 0 || g == u.Groups-1
}

// hasInodeBitmap reports whether the inode bitmap of group g is written.
func (u *usage) hasInodeBitmap(g int64) bool {
	return !u.checksums() || u.inodesIn(g) > 0
}

// descriptor writes the descriptor of group g.
func (u *usage) descriptor(p []byte, g int64) {
	used, blocks := u.usedIn(g)
	inodes := u.inodesIn(g)
	d := ondisk.GroupDesc{
		BlockBitmap: uint64(u.blockBitmap(g)),
		InodeBitmap: uint64(u.inodeBitmap(g)),
		InodeTable:  uint64(u.inodeTable(g)),
		FreeBlocks:  uint32(u.groupRun(g).count - blocks),
		FreeInodes:  uint32(u.InodesPerGroup - inodes),
		Flags:       ondisk.GroupTableZeroed,
	}
	if g < int64(len(u.dirs)) {
		d.UsedDirs = u.dirs[g]
	}
	if !u.checksums() {
		d.Encode(p)
		return
	}
	d.UnusedInodes = d.FreeInodes
	if u.hasBlockBitmap(g, blocks) {
		d.BlockBitmapChecksum = u.blockBitmapChecksum(g, used)
	} else {
		d.Flags |= ondisk.GroupBlockUninit
	}
	if u.hasInodeBitmap(g) {
		var bitmap [blockSize]byte
		u.putInodeBitmap(bitmap[:], g)
		d.InodeBitmapChecksum = ondisk.BitmapChecksum(u.seed, bitmap[:u.InodesPerGroup/8])
	} else {
		d.Flags |= ondisk.GroupInodeUninit
	}
	d.Encode(p)
	ondisk.SetGroupDescChecksum(p, uint32(g), u.seed)
}

// blockBitmapChecksum returns the checksum of group g's block bitmap.
func (u *usage) blockBitmapChecksum(g int64, used runs) uint32 {
	r := u.groupRun(g)
	first := int64(-1)
	if r.count == u.BlocksPerGroup && len(used) == 1 && used[0].start <= r.start {
		first = min(used[0].end(), r.end()) - r.start
		u.mu.RLock()
		sum, ok := u.sums[first]
		u.mu.RUnlock()
		if ok {
			return sum
		}
	}
	var bitmap [blockSize]byte
	u.putBlockBitmap(bitmap[:], g)
	sum := ondisk.BitmapChecksum(u.seed, bitmap[:u.BlocksPerGroup/8])
	if first >= 0 {
		u.mu.Lock()
		u.sums[first] = sum
		u.mu.Unlock()
	}
	return sum
}

// putBlockBitmap writes the block bitmap of group g. Bits for blocks behind the
// group's end are set, as e2fsck demands.
func (u *usage) putBlockBitmap(p []byte, g int64) {
	clear(p)
	r := u.groupRun(g)
	used, _ := u.usedIn(g)
	for _, run := range used {
		setBits(p, max(run.start-r.start, 0), min(run.end()-r.start, r.count))
	}
	setBits(p, r.count, bitsPerBlock)
}

// putInodeBitmap writes the inode bitmap of group g. Bits behind the last inode
// are set, as e2fsck demands.
func (u *usage) putInodeBitmap(p []byte, g int64) {
	clear(p)
	setBits(p, 0, u.inodesIn(g))
	setBits(p, u.InodesPerGroup, bitsPerBlock)
}

// setBits sets bits from to end-1 of p, lowest bit of a byte first.
func setBits(p []byte, from, end int64) {
	for ; from < end && from%8 != 0; from++ {
		p[from/8] |= 1 << (from % 8)
	}
	for ; end-from >= 64; from += 64 {
		binary.LittleEndian.PutUint64(p[from/8:], 1<<64-1)
	}
	for ; from < end; from++ {
		p[from/8] |= 1 << (from % 8)
	}
}

// placeBitmaps puts the bitmaps that are written into b. Those of a flex group
// lie side by side.
func (u *usage) placeBitmaps(b *diskmap.Builder) {
	flex := u.flex()
	for first := int64(0); first < u.Groups; first += flex {
		end := min(first+flex, u.Groups)
		placeWhere(b, first, end, u.blockBitmap(first), u.putBlockBitmap, func(g int64) bool {
			_, blocks := u.usedIn(g)
			return u.hasBlockBitmap(g, blocks)
		})
		placeWhere(b, first, end, u.inodeBitmap(first), u.putInodeBitmap, u.hasInodeBitmap)
	}
}

// placeWhere puts the bitmaps of groups first to end-1 for which has is true
// into b, with one source for as many as are contiguous. The first is at block at.
func placeWhere(b *diskmap.Builder, first, end, at int64, put func([]byte, int64), has func(int64) bool) {
	for g := first; g < end; g++ {
		from := g
		for g < end && has(g) {
			g++
		}
		if g == from {
			continue
		}
		b.Place((at+from-first)*blockSize, generated(g-from, func(p []byte, i int64) error {
			put(p, from+i)
			return nil
		}))
	}
}
