package ext4

import (
	"fmt"

	"diskwright/filesystem/ext4/ondisk"
)

// layout says where everything lies that does not depend on the tree: where
// mke2fs puts it in an empty file system. It is computed in time and memory
// linear in the number of flex groups.
//
//	group 0                                                  group 1 (backup)     ...  group n/2
//	|super|desc|reserved|bitmaps|tables of 16 groups|free...|super|desc|reserved|free |journal|free
//	                                                 root, lost+found, [resize], [orphan file], files ->
type layout struct {
	Geometry
	opts Options
	seed uint32 // of metadata checksums; meaningless without them

	// static are the blocks of the layout's own structures. The root
	// directory and lost+found are not among them: allocated upwards in the
	// order root, lost+found, files, they lie where mke2fs puts them.
	static runs
	// overhead is s_overhead_clusters: the blocks that a file system without
	// a root directory uses for itself.
	overhead int64

	resize  int64   // the resize inode's double indirect block; 0 without one
	journal journal // empty without one
	orphan  []run   // of the orphan file
}

// newLayout computes the layout for a geometry.
func newLayout(o *Options, geo *Geometry) (*layout, error) {
	l := &layout{Geometry: *geo, opts: *o}
	l.seed = ondisk.SeedOfUUID(o.UUID)
	if l.Features.HasIncompat(ondisk.IncompatCsumSeed) {
		l.seed = o.ChecksumSeed
	}
	tables, err := l.tables()
	if err != nil {
		return nil, err
	}
	l.overhead = tables.total() + l.JournalBlocks

	// The rest goes where an allocator that knows of root and lost+found
	// finds room. It is a first fit, from a goal upwards.
	s := &search{used: append(runs(nil), tables...), limit: l.Blocks}
	first := s.take(0, 1+lostFoundBlocks)
	if l.hasResizeInode() {
		l.placeResizeInode(s)
	}
	if l.hasJournal() {
		l.placeJournal(s)
	}
	l.orphan = s.take(0, l.OrphanBlocks)
	if s.full || len(l.orphan) > ondisk.ExtentsInInode {
		return nil, fmt.Errorf("no room for the metadata of %s in %d bytes", o.Kind, o.Size)
	}
	l.static = s.used.without(first)
	return l, nil
}

// tables returns the blocks of superblocks, descriptors, bitmaps and inode
// tables.
func (l *layout) tables() (runs, error) {
	var rs runs
	for first := int64(0); first < l.Groups; first += l.flex() {
		last := min(first+l.flex(), l.Groups) - 1
		n := last - first + 1
		rs = append(rs, run{l.blockBitmap(first), n}, run{l.inodeBitmap(first), n})
		if l.contiguousTables(first) {
			rs = append(rs, run{l.inodeTable(first), n * l.InodeBlocks})
		} else {
			for g := first; g <= last; g++ {
				rs = append(rs, run{l.inodeTable(g), l.InodeBlocks})
			}
		}
		if rs[len(rs)-1].end() > l.groupRun(last).end() {
			return nil, l.opts.tooManyInodes(l.Inodes)
		}
	}
	rs = append(rs, run{0, l.superBlocks(0)})
	for _, g := range l.backups() {
		rs = append(rs, run{l.groupStart(g), l.superBlocks(g)})
	}
	return rs.normalise(), nil
}

// Bitmaps and inode tables of a flex group's groups lie together, at the start
// of its first group: all block bitmaps, all inode bitmaps, all inode tables.
// Without flex_bg every group is a flex group of its own.

// tableStep returns how many blocks lie between the first block bitmap, the
// first inode bitmap and the first inode table of the flex group that begins
// with group first. There is room for 16 bitmaps; in the last, partial flex
// group for as many as there are, but a single one still gets the room of 16.
func (l *layout) tableStep(first int64) int64 {
	flex := l.flex()
	if left := l.Groups - first; left > 1 {
		return min(left, flex)
	}
	return flex
}

// flexGroup returns the first group of the flex group of group g.
func (l *layout) flexGroup(g int64) int64 { return g - g%l.flex() }

// blockBitmap returns the block of group g's block bitmap.
func (l *layout) blockBitmap(g int64) int64 {
	first := l.flexGroup(g)
	return l.groupStart(first) + l.superBlocks(first) + g - first
}

// inodeBitmap returns the block of group g's inode bitmap.
func (l *layout) inodeBitmap(g int64) int64 {
	return l.blockBitmap(g) + l.tableStep(l.flexGroup(g))
}

// inodeTable returns the first block of group g's inode table. Tables of a flex
// group follow each other; one that would meet a backup of the superblock starts
// behind it.
func (l *layout) inodeTable(g int64) int64 {
	first := l.flexGroup(g)
	at := l.inodeBitmap(first) + l.tableStep(first)
	if l.contiguousTables(first) {
		return at + (g-first)*l.InodeBlocks
	}
	at = l.behindBackup(first, at)
	for range g - first {
		at = l.behindBackup(first, at+l.InodeBlocks)
	}
	return at
}

// contiguousTables reports whether the inode tables of the flex group that
// begins with group first all fit into that group, where no backup is in the way.
func (l *layout) contiguousTables(first int64) bool {
	at := l.inodeBitmap(first) + l.tableStep(first)
	n := min(l.flex(), l.Groups-first)
	return at+n*l.InodeBlocks <= l.groupStart(first+1)
}

// behindBackup returns at, or if an inode table there would meet a backup, the
// block behind that.
func (l *layout) behindBackup(first, at int64) int64 {
	for {
		g := (at + l.InodeBlocks - 1) / l.BlocksPerGroup
		end := l.groupStart(g) + l.superBlocks(g)
		if g <= first || end <= at || l.superBlocks(g) == 0 {
			return at
		}
		at = end
	}
}

// free returns the blocks that files may have: all but static, ascending.
func (l *layout) free() []run { return l.static.gaps(l.Blocks) }

// freeBlocks returns how many blocks free returns.
func (l *layout) freeBlocks() int64 { return l.Blocks - l.static.total() }

// firstInode returns the lowest inode number for what the tree holds: behind
// lost+found and the orphan file.
func (l *layout) firstInode() uint32 {
	if l.hasOrphanFile() {
		return orphanInode + 1
	}
	return ondisk.InoFirst + 1
}

// specialInode returns what inode ino holds: one of those below the first
// free one, but neither root (2) nor lost+found (11).
func (l *layout) specialInode(ino uint32) *ondisk.Inode {
	switch {
	case ino == ondisk.InoBadBlocks:
		// The list of bad blocks, empty. Only mke2fs knows why it has times.
		now := ondisk.Time{Sec: l.opts.Epoch}
		return &ondisk.Inode{Atime: now, Ctime: now, Mtime: now}
	case ino == ondisk.InoResize && l.hasResizeInode():
		return l.resizeInode()
	case ino == ondisk.InoJournal && l.hasJournal():
		return l.journalInode()
	case ino == orphanInode && l.hasOrphanFile():
		return l.orphanInode()
	}
	return &ondisk.Inode{}
}

// metadataFile returns the inode of a file of the file system itself, as
// large as blocks blocks, with used blocks in use.
func (l *layout) metadataFile(blocks, used int64) *ondisk.Inode {
	now := ondisk.Time{Sec: l.opts.Epoch}
	return &ondisk.Inode{
		Mode:      ondisk.ModeRegular | 0o600,
		Links:     1,
		Size:      uint64(blocks * blockSize),
		Blocks:    uint64(used * (blockSize / 512)),
		Atime:     now,
		Ctime:     now,
		Mtime:     now,
		Crtime:    now,
		ExtraSize: ondisk.ExtraInodeSize,
	}
}

// encodeInode writes inode ino to its slot p of inodeSize bytes, with its
// checksum if the file system has them. In-inode attributes that the caller
// adds afterwards need sealInode.
func (l *layout) encodeInode(p []byte, ino uint32, inode *ondisk.Inode) {
	inode.Encode(p)
	l.sealInode(p, ino)
}

// sealInode computes the checksum of the encoded inode in p.
func (l *layout) sealInode(p []byte, ino uint32) {
	if l.checksums() {
		ondisk.SetInodeChecksum(p, l.seed, ino)
	}
}

// search allocates blocks while the layout is computed.
type search struct {
	used  runs
	limit int64 // the file system's end
	full  bool  // something found no room
}

// next claims the first run of at most count free blocks at or above goal, or
// failing that the first of all.
func (s *search) next(goal, count int64) run {
	r := s.used.free(goal, count, s.limit)
	if r.count == 0 {
		r = s.used.free(0, count, s.limit)
	}
	if r.count == 0 {
		s.full = true
		return run{}
	}
	s.used = s.used.insert(r)
	return r
}

// take claims count blocks, the first free ones at or above goal.
func (s *search) take(goal, count int64) []run {
	var taken []run
	for count > 0 && !s.full {
		r := s.next(goal, count)
		taken = append(taken, r)
		count -= r.count
		goal = r.end()
	}
	return taken
}
