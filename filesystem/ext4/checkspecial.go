package ext4

import (
	"encoding/binary"
	"fmt"

	"diskwright/filesystem/ext4/ondisk"
)

// special checks the files that belong to the format.
func (c *checker) special() error {
	s := c.super
	f := s.Features
	if f.HasCompat(ondisk.CompatHasJournal) {
		c.journal()
	} else {
		if s.JournalInode != 0 {
			c.list.Add(findJournal, "superblock", "it names inode %d as journal, and has none", s.JournalInode)
		}
		if f.HasIncompat(ondisk.IncompatRecover) {
			c.list.Add(findJournal, "superblock", "a journal should be replayed, and there is none")
		}
	}
	if f.HasCompat(ondisk.CompatResizeInode) {
		c.resizeInode()
	}
	if f.HasCompat(ondisk.CompatOrphanFile) {
		c.orphanFile()
	}
	if f.HasIncompat(ondisk.IncompatMMP) {
		c.mountProtection()
	}
	return c.ctx.Err()
}

// mountProtection checks the block that keeps hosts that share a disk from
// mounting it twice ("Multiple Mount Protection").
func (c *checker) mountProtection() {
	const (
		magic    = 0x004d4d50
		clean    = 0xff4d4d50 // mmp_seq
		checksum = 0x3fc
	)
	where := fmt.Sprintf("mount protection, block %d", c.mmp)
	bad := func(format string, args ...any) { c.list.Add(findSuper, where, format, args...) }
	if c.mmp <= uint64(c.super.FirstDataBlock) || c.mmp >= c.limit {
		bad("it is outside of the file system")
		return
	}
	if at, again := c.used.mark(c.mmp, c.mmp); again {
		c.list.Add(findShared, where, "block %d is something else, too", at)
	}
	p, err := c.readBlock(c.mmp)
	if err != nil {
		_ = c.unreadable(where, err)
		return
	}
	le := binary.LittleEndian
	switch {
	case le.Uint32(p) != magic:
		bad("its magic number is %#x", le.Uint32(p))
	case c.checksums() && le.Uint32(p[checksum:]) != ondisk.Checksum(c.seed, p[:checksum]):
		c.list.Add(findChecksum, where, "its checksum is wrong")
	case le.Uint32(p[4:]) != clean:
		bad("it says that the file system is in use")
	}
}

// Places in the journal's superblock that nothing else needs.
const (
	journalErrno        = 0x20
	journalChecksumType = 0x50
	journalChecksum     = 0xfc

	journalAsyncCommit   = 0x04
	journalChecksumV2    = 0x08
	journalChecksumV3    = 0x10
	journalFastCommit    = 0x20
	journalKnownIncompat = 0x3f
)

// journal checks the journal's inode and superblock.
func (c *checker) journal() {
	s := c.super
	if s.JournalInode == 0 {
		if s.JournalDevice == 0 && s.JournalUUID == [16]byte{} {
			c.list.Add(findJournal, "superblock", "there is a journal, but it is nowhere")
		}
		return
	}
	where := fmt.Sprintf("journal, inode %d", s.JournalInode)
	bad := func(format string, args ...any) { c.list.Add(findJournal, where, format, args...) }
	d := c.byIno[s.JournalInode]
	if d == nil || d.inode.Links == 0 || d.inode.Mode&ondisk.ModeTypeMask != ondisk.ModeRegular {
		bad("it is no file")
		return
	}
	if s.JournalBackupType == ondisk.JournalBackupBlocks {
		var block [60]byte
		for i := range 15 {
			binary.LittleEndian.PutUint32(block[4*i:], s.JournalBackup[i])
		}
		if size := uint64(s.JournalBackup[15])<<32 | uint64(s.JournalBackup[16]); block != d.inode.Block || size != d.inode.Size {
			bad("the superblock's copy of its blocks and size is another")
		}
	} else {
		bad("the superblock has no copy of its blocks")
	}
	if d.broken || len(d.runs) == 0 {
		bad("it has no blocks that can be read")
		return
	}
	next := uint64(0)
	for _, r := range d.runs {
		if r.logical != next {
			bad("it has a hole at block %d", next)
		}
		next = r.logical + r.count
	}
	p, err := c.readBlock(d.runs[0].physical)
	if err != nil {
		_ = c.unreadable(where, err)
		return
	}
	j, err := ondisk.DecodeJournalSuperblock(p)
	if err != nil {
		bad("%v", err)
		return
	}
	be := binary.BigEndian
	blocks := d.inode.Size / uint64(c.block)
	switch {
	case int64(j.BlockSize) != c.block:
		bad("it has blocks of %d bytes", j.BlockSize)
	case uint64(j.Blocks) > blocks || uint64(j.Blocks) > next:
		bad("it says to have %d blocks, and has %d", j.Blocks, min(blocks, next))
	case j.Blocks < ondisk.JournalMinBlocks+j.FastCommitBlocks*uint32(b2i(j.Incompat&journalFastCommit != 0)):
		bad("it has %d blocks: too few", j.Blocks)
	case j.First == 0 || j.First >= j.Blocks:
		bad("its log begins at block %d of %d", j.First, j.Blocks)
	case j.Start >= j.Blocks:
		bad("its first transaction is in block %d of %d", j.Start, j.Blocks)
	}
	if j.Start != 0 && !s.Features.HasIncompat(ondisk.IncompatRecover) {
		bad("it holds transactions, and the superblock does not say so")
	}
	if be.Uint32(p[journalErrno:]) != 0 {
		bad("the kernel has recorded an error")
	}
	if be.Uint32(p[4:]) == 3 {
		// The first version has nothing there.
		for _, b := range p[0x24:ondisk.SuperblockSize] {
			if b != 0 {
				bad("it is of version 1, and has fields of version 2")
				break
			}
		}
		return
	}
	if unknown := j.Incompat &^ journalKnownIncompat; unknown != 0 || j.ROCompat != 0 {
		bad("it has unknown features, %#x and %#x", unknown, j.ROCompat)
	}
	if j.Users > 1 {
		bad("%d file systems share it", j.Users)
	}
	if v2, v3 := j.Incompat&journalChecksumV2 != 0, j.Incompat&journalChecksumV3 != 0; v2 || v3 {
		if v2 && v3 || p[journalChecksumType] != 4 {
			bad("it has checksums of type %d, features %#x", p[journalChecksumType], j.Incompat)
		}
		q := append([]byte(nil), p[:ondisk.SuperblockSize]...)
		clear(q[journalChecksum:][:4])
		if ondisk.Checksum(ondisk.NoSeed, q) != be.Uint32(p[journalChecksum:]) {
			c.list.Add(findChecksum, where, "the checksum of its superblock is wrong")
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// resizeInode checks the inode that owns the blocks that are reserved for more
// descriptors: its double indirect block has, behind each block of descriptors,
// the addresses of the reserved ones of the first group, each of which has those
// of its copies ("Reserved GDT Blocks", e2fsck's check_resize_inode).
func (c *checker) resizeInode() {
	s, le := c.super, binary.LittleEndian
	where := inodeName(ondisk.InoResize)
	bad := func(format string, args ...any) { c.list.Add(findResize, where, format, args...) }
	d := c.byIno[ondisk.InoResize]
	if d == nil || d.inode.Links == 0 {
		if s.ReservedGDT > 0 {
			bad("it owns nothing")
		}
		return
	}
	i := &d.inode
	if i.Mode&ondisk.ModeTypeMask != ondisk.ModeRegular || i.Links != 1 || i.Flags&ondisk.FlagExtents != 0 {
		bad("it has mode %#o, %d links and flags %#x", i.Mode, i.Links, i.Flags)
	}
	for k := range 15 {
		if k != directBlocks+1 && le.Uint32(i.Block[4*k:]) != 0 {
			bad("it has a block beside the double indirect one")
			break
		}
	}
	double := uint64(le.Uint32(i.Block[4*(directBlocks+1):]))
	if double <= uint64(s.FirstDataBlock) || double >= c.limit {
		bad("its double indirect block is %d, outside of the file system", double)
		return
	}
	if at, again := c.used.mark(double, double); again {
		c.list.Add(findShared, where, "its double indirect block %d is something else, too", at)
	}
	p, err := c.readBlock(double)
	if err != nil {
		_ = c.unreadable(where, err)
		return
	}
	n := uint64(len(p)) / 4
	first := uint64(ondisk.SuperblockOffset/c.block) + 1 + c.tableBlocks()
	wrong, blocks := 0, uint64(1)
	expected := make(map[uint64]uint64, s.ReservedGDT)
	for k := range uint64(s.ReservedGDT) {
		expected[(c.tableBlocks()+k)%n] = first + k
	}
	for k := range n {
		if uint64(le.Uint32(p[4*k:])) != expected[k] {
			wrong++
		}
	}
	if wrong > 0 {
		bad("%d entries of its double indirect block do not say where the %d reserved blocks are", wrong, s.ReservedGDT)
	}
	var copies []uint64 // of the first reserved block
	for g := uint64(1); g < s.Groups(); g++ {
		if hasSuperCopy(s, g) {
			at, _ := c.groupBlocks(g)
			copies = append(copies, at+1+c.tableBlocks())
		}
	}
	for k := range uint64(s.ReservedGDT) {
		q, err := c.readBlock(first + k)
		if err != nil {
			_ = c.unreadable(where, err)
			return
		}
		blocks++
		for m, at := range copies {
			if m >= int(n) {
				break
			}
			blocks++
			if uint64(le.Uint32(q[4*m:])) != at+k {
				bad("entry %d of the reserved block %d is %d, and should be %d", m, first+k, le.Uint32(q[4*m:]), at+k)
				return
			}
		}
		for m := len(copies); m < int(n); m++ {
			if le.Uint32(q[4*m:]) != 0 {
				bad("the reserved block %d has more than %d entries", first+k, len(copies))
				return
			}
		}
	}
	if want := blocks * c.ratio * uint64(c.block) / 512; i.Blocks != want {
		c.list.Add(findBlockCount, where, "its blocks count as %d, and it says %d", want, i.Blocks)
	}
}

// orphanFile checks the tails of its blocks, and that it is empty.
func (c *checker) orphanFile() {
	s := c.super
	where := fmt.Sprintf("orphan file, inode %d", s.OrphanFileInode)
	bad := func(format string, args ...any) { c.list.Add(findOrphan, where, format, args...) }
	d := c.byIno[s.OrphanFileInode]
	if d == nil || d.inode.Mode&ondisk.ModeTypeMask != ondisk.ModeRegular || d.inode.Links == 0 {
		bad("it is no file")
		return
	}
	if d.broken || d.inode.Size == 0 || d.inode.Size%uint64(c.block) != 0 {
		bad("it has %d bytes", d.inode.Size)
		return
	}
	seed := ondisk.InodeSeed(c.seed, d.number, d.inode.Generation)
	next := uint64(0)
	for _, r := range d.runs {
		if r.logical != next {
			bad("it has a hole at block %d", next)
		}
		for k := range r.count {
			if c.ctx.Err() != nil {
				return
			}
			p, err := c.readBlock(r.physical + k)
			if err != nil {
				_ = c.unreadable(where, err)
				return
			}
			switch tail := p[len(p)-8:]; {
			case c.checksums() && !ondisk.CheckOrphanTail(p, r.physical+k, seed):
				c.list.Add(findChecksum, where, "the magic number or the checksum of block %d is wrong", r.logical+k)
			case binary.LittleEndian.Uint32(tail) != 0x0b10ca04:
				bad("block %d has no magic number", r.logical+k)
			}
			if !s.Features.HasROCompat(ondisk.ROCompatOrphanPresent) {
				for _, b := range p[:len(p)-8] {
					if b != 0 {
						bad("block %d holds orphans, and the superblock does not say so", r.logical+k)
						break
					}
				}
			}
		}
		next = r.logical + r.count
	}
	if next != d.inode.Size/uint64(c.block) {
		bad("it has a hole at block %d", next)
	}
}
