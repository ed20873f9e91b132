package ext4

import (
	"cmp"
	"math/bits"
	"slices"

	"diskwright/filesystem/ext4/ondisk"
)

// clusterSet is the set of the clusters that something uses, in pieces for each
// group, of which those without any are not there.
type clusterSet struct {
	first, end, ratio uint64 // blocks, and blocks in a cluster
	perGroup          uint64 // clusters
	groups            [][]uint64
}

func newClusterSet(limit, ratio uint64, s *ondisk.Superblock) clusterSet {
	return clusterSet{
		first: uint64(s.FirstDataBlock), end: limit, ratio: ratio,
		perGroup: uint64(s.BlocksPerGroup) / ratio, groups: make([][]uint64, s.Groups()),
	}
}

// mark adds the clusters from the one of block number first to that of last,
// which exist, and returns a block of a cluster that was there already.
func (u *clusterSet) mark(first, last uint64) (twice uint64, again bool) {
	from, to := (first-u.first)/u.ratio, (last-u.first)/u.ratio
	for from <= to {
		g := from / u.perGroup
		set := u.groups[g]
		if set == nil {
			set = make([]uint64, (u.perGroup+63)/64)
			u.groups[g] = set
		}
		base := g * u.perGroup
		for end := min(to, base+u.perGroup-1); from <= end; {
			bit := from - base
			n := min(64-bit%64, end-from+1)
			mask := ^uint64(0) >> (64 - n) << (bit % 64)
			if old := set[bit/64] & mask; old != 0 && !again {
				twice, again = (from-bit%64+uint64(bits.TrailingZeros64(old)))*u.ratio+u.first, true
			}
			set[bit/64] |= mask
			from += n
		}
	}
	return twice, again
}

// descBlock returns the block that has the table-th block of the descriptors
// ("Meta Block Groups").
func (v *Volume) descBlock(table uint64) uint64 {
	perBlock := uint64(v.block) / uint64(v.super.GroupDescSize())
	if !v.super.Features.HasIncompat(ondisk.IncompatMetaBG) || table < uint64(v.super.FirstMetaBG) {
		return uint64(ondisk.SuperblockOffset/v.block) + 1 + table
	}
	return v.metaDescBlock(table * perBlock)
}

// metaDescBlock returns the block of a group in which, with meta_bg, descriptors
// lie: behind the copy of the superblock if the group has one.
func (v *Volume) metaDescBlock(g uint64) uint64 {
	number := uint64(v.super.FirstDataBlock) + g*uint64(v.super.BlocksPerGroup)
	if hasSuperCopy(v.super, g) {
		number++
	}
	if g == 0 && v.super.FirstDataBlock == 0 && v.block == ondisk.SuperblockOffset {
		number++ // bigalloc: block 0 is before the superblock's
	}
	return number
}

// descCopy is where a copy of a block of the descriptors is.
type descCopy struct{ table, block uint64 }

// descCopies returns the copies that lie in a group: with meta_bg in the second
// and the last of the groups that a block describes, else behind each copy of the
// superblock.
func (c *checker) descCopies(g uint64) (list []descCopy) {
	s := c.super
	perBlock := uint64(c.block) / uint64(s.GroupDescSize())
	old := c.tableBlocks()
	if s.Features.HasIncompat(ondisk.IncompatMetaBG) {
		old = min(old, uint64(s.FirstMetaBG))
		if table := g / perBlock; table >= old && (g%perBlock == 1 || g%perBlock == perBlock-1 && perBlock > 1) {
			list = append(list, descCopy{table, c.metaDescBlock(g)})
		}
	}
	if g > 0 && hasSuperCopy(s, g) {
		first, _ := c.groupBlocks(g)
		for table := range old {
			list = append(list, descCopy{table, first + 1 + table})
		}
	}
	return list
}

// descRange returns the blocks at a group's start that the superblock and the
// descriptors have in it, with those that are reserved for more of these.
func (c *checker) headerBlocks(g uint64) (first, last uint64, ok bool) {
	s := c.super
	first, count := c.groupBlocks(g)
	length := uint64(0)
	if hasSuperCopy(s, g) {
		length = 1
		if g == 0 && s.FirstDataBlock == 0 && c.block == ondisk.SuperblockOffset {
			length++
		}
	}
	old := c.tableBlocks()
	if s.Features.HasIncompat(ondisk.IncompatMetaBG) {
		old = min(old, uint64(s.FirstMetaBG))
		perBlock := uint64(c.block) / uint64(s.GroupDescSize())
		if table := g / perBlock; table >= old && (g%perBlock <= 1 || g%perBlock == perBlock-1) {
			length++
		}
	}
	if hasSuperCopy(s, g) {
		length += old
		if !s.Features.HasIncompat(ondisk.IncompatMetaBG) || s.FirstMetaBG > 0 {
			length += uint64(s.ReservedGDT)
		}
	}
	length = min(length, count)
	return first, first + length - 1, length > 0
}

// fixedBlocks marks what lies at fixed places or where descriptors say.
func (c *checker) fixedBlocks() error {
	for g := range c.super.Groups() {
		if first, last, ok := c.headerBlocks(g); ok && last < c.limit {
			c.used.mark(first, last)
		}
	}
	tables := make(map[uint64]int, len(c.descs))
	for g := range c.descs {
		d := &c.descs[g]
		if other, twice := tables[d.InodeTable]; twice && d.InodeTable != 0 {
			// It is not read again and again.
			c.list.Add(findShared, group(uint64(g)), "its inode table is that of group %d", other)
			d.InodeTable = 0
		}
		tables[d.InodeTable] = g
		for _, place := range []struct {
			what   string
			at     uint64
			length uint64
		}{{"block bitmap", d.BlockBitmap, 1}, {"inode bitmap", d.InodeBitmap, 1}, {"inode table", d.InodeTable, c.tableLength()}} {
			if place.at == 0 {
				continue
			}
			// In a cluster several of them may lie.
			if at, again := c.used.mark(place.at, place.at+place.length-1); again && c.ratio == 1 {
				c.list.Add(findShared, group(uint64(g)), "block %d of its %s is something else, too", at, place.what)
			}
		}
	}
	return nil
}

// bitmaps compares the bitmaps and the counts with what was found: e2fsck's
// fifth pass.
func (c *checker) bitmaps() error {
	s := c.super
	var freeBlocks, freeInodes uint64
	for g := range s.Groups() {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		free, err := c.blockBitmap(g)
		if err != nil {
			return err
		}
		freeBlocks += free
		if free, err = c.inodeBitmap(g); err != nil {
			return err
		}
		freeInodes += free
	}
	if freeBlocks*c.ratio != s.FreeBlocks {
		c.list.Add(findFreeCount, "superblock", "%d blocks are free, and it says %d", freeBlocks*c.ratio, s.FreeBlocks)
	}
	if freeInodes != uint64(s.FreeInodes) {
		c.list.Add(findFreeCount, "superblock", "%d inodes are free, and it says %d", freeInodes, s.FreeInodes)
	}
	return nil
}

// blockBitmap compares a group's bitmap with the clusters that are used, and
// returns how many are free.
func (c *checker) blockBitmap(g uint64) (free uint64, err error) {
	d := &c.descs[g]
	_, count := c.groupBlocks(g)
	clusters := (count + c.ratio - 1) / c.ratio
	used := uint64(0)
	for _, word := range c.used.groups[g] {
		used += uint64(bits.OnesCount64(word))
	}
	free = clusters - min(used, clusters)
	if uint64(d.FreeBlocks) != free {
		c.list.Add(findFreeCount, group(g), "%d clusters are free, and its descriptor says %d", free, d.FreeBlocks)
	}
	if d.Flags&ondisk.GroupBlockUninit != 0 {
		if used != c.ownClusters(g) {
			c.list.Add(findBlockBitmap, group(g), "its block bitmap is marked as not initialised, but %d clusters are used", used)
		}
		return free, nil
	}
	if d.BlockBitmap == 0 {
		return free, nil
	}
	p, err := c.readBlock(d.BlockBitmap)
	if err != nil {
		return free, c.unreadable(group(g), err)
	}
	if c.checksums() {
		sum := ondisk.BitmapChecksum(c.seed, p[:min(uint64(len(p)), uint64(c.used.perGroup/8))])
		c.bitmapChecksum(g, "block", sum, d.BlockBitmapChecksum)
	}
	c.compareBitmap(findBlockBitmap, g, "cluster", p, c.used.groups[g], clusters)
	return free, nil
}

// bitmapChecksum compares checksums, of which short descriptors have half.
func (c *checker) bitmapChecksum(g uint64, what string, sum, stored uint32) {
	if c.super.GroupDescSize() < ondisk.DescSize64 {
		sum &= 0xffff
	}
	if sum != stored {
		c.list.Add(findChecksum, group(g), "the checksum of its %s bitmap is wrong", what)
	}
}

// ownClusters returns how many clusters of a group its own metadata have: what a
// block bitmap that is not initialised stands for.
func (c *checker) ownClusters(g uint64) (total uint64) {
	first, count := c.groupBlocks(g)
	d := &c.descs[g]
	var places [][2]uint64
	for _, place := range []struct{ at, length uint64 }{{d.BlockBitmap, 1}, {d.InodeBitmap, 1}, {d.InodeTable, c.tableLength()}} {
		if place.at != 0 {
			places = append(places, [2]uint64{place.at, place.at + place.length - 1})
		}
	}
	if from, to, ok := c.headerBlocks(g); ok {
		places = append(places, [2]uint64{from, to})
	}
	slices.SortFunc(places, func(a, b [2]uint64) int { return cmp.Compare(a[0], b[0]) })
	next := uint64(0) // cluster of the group that is not counted
	for _, p := range places {
		from, to := max(p[0], first), min(p[1], first+count-1)
		if from > to {
			continue
		}
		low, high := max((from-first)/c.ratio, next), (to-first)/c.ratio+1
		if low < high {
			total += high - low
			next = high
		}
	}
	return total
}

// compareBitmap compares a bitmap on disk, whose first n bits count and whose
// others are ones, with what was found.
func (c *checker) compareBitmap(kind string, g uint64, what string, p []byte, found []uint64, n uint64) {
	var missing, extra uint64 // found, but not on disk, and the other way round
	firstMissing, firstExtra := int64(-1), int64(-1)
	padding := false
	for i := range uint64(len(p)) {
		should := byte(0)
		if i/8 < uint64(len(found)) {
			should = byte(found[i/8] >> (i % 8 * 8))
		}
		valid := byte(0xff)
		if i*8+8 > n {
			valid = byte(1<<(max(n, i*8)-i*8) - 1)
		}
		if p[i]|valid != 0xff {
			padding = true
		}
		if p[i]&valid == should&valid {
			continue
		}
		if x := should &^ p[i] & valid; x != 0 {
			if missing == 0 {
				firstMissing = int64(i*8) + int64(bits.TrailingZeros8(x))
			}
			missing += uint64(bits.OnesCount8(x))
		}
		if x := p[i] &^ should & valid; x != 0 {
			if extra == 0 {
				firstExtra = int64(i*8) + int64(bits.TrailingZeros8(x))
			}
			extra += uint64(bits.OnesCount8(x))
		}
	}
	name := func(i int64) uint64 {
		if kind == findInodeBitmap {
			return g*uint64(c.super.InodesPerGroup) + uint64(i) + 1
		}
		first, _ := c.groupBlocks(g)
		return first + uint64(i)*c.ratio
	}
	unit := map[string]string{findInodeBitmap: "inode", findBlockBitmap: "block"}[kind]
	if missing > 0 {
		c.list.Add(kind, group(g), "%d %ss are used and free in its bitmap, the first is %s %d", missing, what, unit, name(firstMissing))
	}
	if extra > 0 {
		c.list.Add(kind, group(g), "%d %ss are used in its bitmap, but by nothing, the first is %s %d", extra, what, unit, name(firstExtra))
	}
	if padding {
		c.list.Add(kind, group(g), "the end of its bitmap, where no %s is, is not all ones", what)
	}
}

// inodeBitmap compares a group's bitmap with the inodes in use, and returns how
// many are free.
func (c *checker) inodeBitmap(g uint64) (free uint64, err error) {
	d, state := &c.descs[g], &c.groups[g]
	n := uint64(c.super.InodesPerGroup)
	free = n - uint64(state.count)
	if uint64(d.FreeInodes) != free {
		c.list.Add(findFreeCount, group(g), "%d inodes are free, and its descriptor says %d", free, d.FreeInodes)
	}
	if d.UsedDirs != state.dirs {
		c.list.Add(findFreeCount, group(g), "%d inodes are directories, and its descriptor says %d", state.dirs, d.UsedDirs)
	}
	if d.Flags&ondisk.GroupInodeUninit != 0 {
		if state.count > 0 {
			c.list.Add(findInodeBitmap, group(g), "its inodes are marked as not initialised, but %d are used", state.count)
		}
		return free, nil
	}
	if d.InodeBitmap == 0 {
		return free, nil
	}
	p, err := c.readBlock(d.InodeBitmap)
	if err != nil {
		return free, c.unreadable(group(g), err)
	}
	if c.checksums() {
		c.bitmapChecksum(g, "inode", ondisk.BitmapChecksum(c.seed, p[:n/8]), d.InodeBitmapChecksum)
	}
	c.compareBitmap(findInodeBitmap, g, "inode", p, state.inUse, n)
	return free, nil
}
