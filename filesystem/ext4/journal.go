package ext4

import (
	"encoding/binary"

	"diskwright/content"
	"diskwright/diskmap"
	"diskwright/filesystem/ext4/ondisk"
)

// journalBlocks returns the size of the journal of a file system of the given
// size, 0 if that is too small for one.
func journalBlocks(blocks int64) int64 {
	const gibibyte = 1 << 30 / blockSize
	switch {
	case blocks < gibibyte/128:
		return 0
	case blocks < gibibyte/8:
		return 1024
	case blocks < gibibyte:
		return 4096
	case blocks < 2*gibibyte:
		return 8192
	case blocks < 16*gibibyte:
		return 16384
	case blocks < 32*gibibyte:
		return 32768
	case blocks < 64*gibibyte:
		return 65536
	case blocks < 128*gibibyte:
		return 131072
	}
	return 262144
}

// journal is where the journal, inode 8, lies: the runs of its data in order, and
// the blocks that map them.
type journal struct {
	data  []run
	nodes []int64
}

// placeJournal finds the journal's blocks: in ext4 around the middle of the
// file system, where writing to it takes the shortest seeks; in ext3 from the
// start, indirect blocks between its data.
func (l *layout) placeJournal(s *search) {
	if !l.extents() {
		l.journal = interleave(s.take(0, l.JournalBlocks+journalIndirect(l.JournalBlocks)), l.JournalBlocks)
		return
	}
	var j journal
	goal := l.journalGoal(s.used)
	for left := l.JournalBlocks; left > 0 && !s.full; {
		r := s.next(goal, min(left, ondisk.ExtentMax))
		j.data = append(j.data, r)
		if len(j.data) == ondisk.ExtentsInInode+1 {
			// The inode is full: its extents move to a block, before
			// the first of them if there is room.
			j.nodes = []int64{s.next(max(j.data[0].start-1, 0), 1).start}
		}
		left -= r.count
		goal = r.end()
	}
	l.journal = j
}

// journalGoal returns where to look for room for the journal: the start of the
// group with the most free blocks among a few in the middle. With more than one
// flex group, they are the first two of the middle one; otherwise the middle group
// and its neighbours.
func (l *layout) journalGoal(used runs) int64 {
	freeIn := func(g int64) int64 {
		r := l.groupRun(g)
		return r.count - used.within(r)
	}
	middle := l.Blocks / 2 / l.BlocksPerGroup
	first := max(middle-1, 0)
	if flex := l.flex(); flex > 1 && middle > flex {
		for middle = l.flexGroup(middle); middle < l.Groups && freeIn(middle) == 0; middle++ {
		}
		if middle == l.Groups {
			middle = 0
		}
		first = middle
	}
	best := first
	for g := first + 1; g <= min(middle+1, l.Groups-1); g++ {
		if freeIn(g) > freeIn(best) {
			best = g
		}
	}
	return l.groupStart(best)
}

// Entries of i_block that lead to indirect blocks.
const (
	singleIndirect = directBlocks
	doubleIndirect = directBlocks + 1
)

// journalIndirect returns how many indirect blocks map a journal of count
// blocks. It has more than the 12 that need none, and fewer than would need triple
// ones.
func journalIndirect(count int64) int64 {
	if count <= directBlocks+entriesInBlock {
		return 1
	}
	return 2 + ceilDiv(count-directBlocks-entriesInBlock, entriesInBlock)
}

// interleave deals out blocks to a file of count blocks, each indirect block
// before the blocks that it maps:
//
//	data 0..11 | single | data 12..1035 | double | single | data 1036.. | single | data 2060.. | ...
func interleave(blocks []run, count int64) journal {
	var j journal
	next := func(n int64) {
		for n > 0 && len(blocks) > 0 {
			r := run{blocks[0].start, min(n, blocks[0].count)}
			j.data = append(j.data, r)
			n -= r.count
			if blocks[0] = (run{r.end(), blocks[0].count - r.count}); blocks[0].count == 0 {
				blocks = blocks[1:]
			}
		}
	}
	node := func() {
		data := j.data
		next(1)
		if len(j.data) > len(data) {
			j.nodes = append(j.nodes, j.data[len(data)].start)
		}
		j.data = data
	}
	next(directBlocks)
	for at := int64(directBlocks); at < count; at += entriesInBlock {
		if at == directBlocks+entriesInBlock {
			node()
		}
		node()
		next(min(count-at, entriesInBlock))
	}
	return j
}

// journalInode returns inode 8.
func (l *layout) journalInode() *ondisk.Inode {
	inode := l.metadataFile(l.JournalBlocks, l.JournalBlocks+int64(len(l.journal.nodes)))
	i := inode.Block[:]
	switch {
	case !l.extents():
		putBlocks(i[:entrySize*directBlocks], l.journal.data, 0)
		binary.LittleEndian.PutUint32(i[entrySize*singleIndirect:], uint32(l.journal.nodes[0]))
		if len(l.journal.nodes) > 1 {
			binary.LittleEndian.PutUint32(i[entrySize*doubleIndirect:], uint32(l.journal.nodes[1]))
		}
		return inode
	case len(l.journal.nodes) == 0:
		putExtents(i, l.journal.data)
	default:
		ondisk.ExtentHeader{Entries: 1, Max: ondisk.ExtentsInInode, Depth: 1}.Encode(i)
		ondisk.ExtentIndex{Node: uint64(l.journal.nodes[0])}.Encode(i[ondisk.ExtentHeaderSize:])
	}
	inode.Flags = ondisk.FlagExtents
	return inode
}

// placeJournalBlocks puts the journal's superblock and the blocks that map it into b.
// The rest of a journal that has nothing to replay may be anything.
func (l *layout) placeJournalBlocks(b *diskmap.Builder) {
	if !l.hasJournal() {
		return
	}
	super := make([]byte, blockSize)
	j := ondisk.JournalSuperblock{
		BlockSize: blockSize,
		Blocks:    uint32(l.JournalBlocks),
		First:     1,
		Sequence:  1,
		UUID:      l.opts.JournalUUID,
		Users:     1,
	}
	j.Encode(super)
	b.Place(l.journal.data[0].start*blockSize, content.Bytes(super))
	for i, node := range l.journal.nodes {
		b.Place(node*blockSize, generated(1, func(p []byte, _ int64) error {
			l.journalNode(p, int64(i))
			return nil
		}))
	}
}

// journalNode writes the i-th block that maps the journal.
func (l *layout) journalNode(p []byte, i int64) {
	clear(p)
	switch {
	case l.extents():
		putExtents(p, l.journal.data)
		if l.checksums() {
			ondisk.SetExtentTail(p, ondisk.InodeSeed(l.seed, ondisk.InoJournal, 0))
		}
	case i == 0:
		putBlocks(p, l.journal.data, directBlocks)
	case i == 1:
		for k, node := range l.journal.nodes[2:] {
			binary.LittleEndian.PutUint32(p[entrySize*k:], uint32(node))
		}
	default:
		putBlocks(p, l.journal.data, directBlocks+(i-1)*entriesInBlock)
	}
}

// putExtents fills p, i_block or a leaf, with the extents of a file.
func putExtents(p []byte, data []run) {
	room := (len(p) - ondisk.ExtentHeaderSize) / ondisk.ExtentSize
	ondisk.ExtentHeader{Entries: uint16(len(data)), Max: uint16(room)}.Encode(p)
	logical := int64(0)
	for i, r := range data {
		e := ondisk.Extent{Block: uint32(logical), Len: uint16(r.count), Start: uint64(r.start)}
		e.Encode(p[ondisk.ExtentHeaderSize+i*ondisk.ExtentSize:])
		logical += r.count
	}
}

// putBlocks fills p, direct entries or an indirect block, with the numbers of a
// file's blocks from the given one on.
func putBlocks(p []byte, data []run, from int64) {
	logical := int64(0)
	for _, r := range data {
		for k := max(from-logical, 0); k < r.count && len(p) > 0; k++ {
			binary.LittleEndian.PutUint32(p, uint32(r.start+k))
			p = p[entrySize:]
		}
		logical += r.count
	}
}
