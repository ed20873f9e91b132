package ext4

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"diskwright/content"
	"diskwright/filesystem/ext4/ondisk"
)

// Flags of inodes that only the check looks at.
const (
	flagImmutable = ondisk.FlagImmutable | ondisk.FlagAppend
	flagIMagic    = 0x00002000
	flagVerity    = 0x00100000
)

const (
	inoUserQuota  = 3
	inoGroupQuota = 4
)

// inodes reads the tables, and checks each inode and the blocks that it has:
// e2fsck's first pass.
func (c *checker) inodes() error {
	s := c.super
	size := int64(s.InodeSize)
	window := make([]byte, max(1<<20, int(c.block)))
	perWindow := int64(len(window)) / size
	for g := range c.groups {
		d := &c.descs[g]
		reserved := g == 0
		if reserved {
			for number := uint32(1); number < min(s.FirstInode, s.InodesPerGroup+1); number++ {
				c.setInUse(number)
			}
		}
		if d.InodeTable == 0 {
			continue
		}
		count := int64(s.InodesPerGroup - d.UnusedInodes)
		for at := int64(0); at < count; at += perWindow {
			if err := c.ctx.Err(); err != nil {
				return err
			}
			p := window[:min(perWindow, count-at)*size]
			if err := content.ReadFull(c.device, p, int64(d.InodeTable)*c.block+at*size); err != nil {
				if err := c.unreadable(group(uint64(g)), err); err != nil {
					return err
				}
				continue
			}
			for i := int64(0); i*size < int64(len(p)); i++ {
				number := uint32(g)*s.InodesPerGroup + uint32(at+i) + 1
				c.slot(number, p[i*size:][:size])
			}
			if c.done != nil {
				c.done(int64(len(p)))
			}
		}
	}
	for number, x := range c.xattrBlocks {
		if x.refs != x.said {
			c.list.Add(findXattr, fmt.Sprintf("block %d", number), "it is used by %d inodes, and says %d", x.refs, x.said)
		}
	}
	for number, refs := range c.eaRefs {
		if said, ok := c.eaInodes[number]; !ok {
			c.list.Add(findXattr, inodeName(number), "it should hold the value of an attribute, and does not")
		} else if said != refs {
			c.list.Add(findXattr, inodeName(number), "its value is that of %d attributes, and it says %d", refs, said)
		}
	}
	return nil
}

// state returns a group's state with room for its inodes, and the inode's place.
func (c *checker) state(number uint32) (*groupState, uint32) {
	n := c.super.InodesPerGroup
	st := &c.groups[(number-1)/n]
	if st.inUse == nil {
		st.inUse = make([]uint64, (n+63)/64)
		st.modes = make([]uint8, n)
		st.links = make([]uint16, n)
		st.found = make([]uint16, n)
	}
	return st, (number - 1) % n
}

func (c *checker) setInUse(number uint32) {
	st, i := c.state(number)
	if bit := uint64(1) << (i % 64); st.inUse[i/64]&bit == 0 {
		st.inUse[i/64] |= bit
		st.count++
	}
}

// inUse reports whether an inode is used, and the type in its mode.
func (c *checker) inUse(number uint32) (mode uint16, ok bool) {
	st := &c.groups[(number-1)/c.super.InodesPerGroup]
	if st.inUse == nil {
		return 0, false
	}
	i := (number - 1) % c.super.InodesPerGroup
	return uint16(st.modes[i]) << 12, st.inUse[i/64]&(1<<(i%64)) != 0 && (st.links[i] > 0 || st.modes[i] != 0)
}

// allZeros is as long as the longest inode.
var allZeros [64 << 10]byte

// slot checks an inode, used or not.
func (c *checker) slot(number uint32, p []byte) {
	if bytes.Equal(p, allZeros[:len(p)]) {
		return
	}
	where := inodeName(number)
	bad := func(format string, args ...any) { c.list.Add(findInode, where, format, args...) }
	if c.checksums() && !ondisk.CheckInode(p, c.seed, number) {
		c.list.Add(findChecksum, where, "its checksum is wrong")
	}
	n := &Node{Number: number, slot: p}
	var err error
	if n.Inode, err = ondisk.DecodeInode(p); err != nil {
		bad("%v", err)
		if n.Inode, err = ondisk.DecodeInode(p[:ondisk.OldInodeSize]); err != nil {
			return
		}
		n.slot = p[:ondisk.OldInodeSize]
	}
	if n.Links == 0 && !c.reserved(number) {
		if n.Dtime == 0 && n.Mode != 0 {
			bad("it has mode %#o, no link and no time of deletion: it was never deleted", n.Mode)
		}
		return
	}
	w := inodeCheck{checker: c, n: n, where: where}
	w.check()
}

// reserved reports whether an inode is in use whatever it says.
func (c *checker) reserved(number uint32) bool { return number < c.super.FirstInode }

// ownedByFormat reports whether an inode has a place in no directory.
func (c *checker) ownedByFormat(number uint32) bool {
	s := c.super
	return c.reserved(number) && number != ondisk.InoRoot || number == s.OrphanFileInode && s.Features.HasCompat(ondisk.CompatOrphanFile) ||
		s.Features.HasROCompat(ondisk.ROCompatQuota) && (number == s.UserQuotaInode || number == s.GroupQuotaInode || number == s.ProjectQuotaInode) ||
		number == s.JournalInode && s.Features.HasCompat(ondisk.CompatHasJournal)
}

// inodeCheck is the check of one inode.
type inodeCheck struct {
	*checker
	n     *Node
	where string

	// Of its blocks.
	runs       []mapping // that are mapped, of directories and what the format owns
	keep       bool
	count      uint64 // blocks, those of the map included
	last       int64  // the highest that is mapped, -1 for none
	lastInit   int64  // the highest that is mapped and written
	inCluster  uint64 // the last cluster that was counted, plus one
	extra      uint64 // blocks that values of attributes have
	inline     bool   // there is an attribute with inline data
	inlineRoom uint64 // and its size
	broken     bool   // its blocks are not known
}

func (w *inodeCheck) bad(format string, args ...any) {
	w.list.Add(findInode, w.where, format, args...)
}

func (w *inodeCheck) check() {
	c, n := w.checker, w.n
	w.setInUse(n.Number)
	st, i := c.state(n.Number)
	st.modes[i], st.links[i] = uint8(n.Mode>>12), n.Links
	w.last, w.lastInit = -1, -1
	kind := n.Mode & ondisk.ModeTypeMask
	if kind == ondisk.ModeDir {
		st.dirs++
	}
	w.keep = kind == ondisk.ModeDir || w.ownedByFormat(n.Number)
	if n.Dtime != 0 && (n.Links > 0 || !c.reserved(n.Number)) {
		w.bad("it is in use, but has a time of deletion")
	}
	if faddr := binary.LittleEndian.Uint32(n.slot[0x70:]); faddr != 0 {
		w.bad("it has a fragment, in block %d, which no file system has", faddr)
	}
	w.flags(kind)
	w.reservedInode(kind)
	w.xattrs()
	switch kind {
	case ondisk.ModeDir, ondisk.ModeRegular:
		w.blocks()
	case ondisk.ModeSymlink:
		w.symlink()
	case ondisk.ModeChar, ondisk.ModeBlock, ondisk.ModeFIFO, ondisk.ModeSocket:
		w.specialFile(kind)
	default:
		if n.Mode != 0 || !c.reserved(n.Number) {
			w.bad("its mode %#o is of no type", n.Mode)
		}
		if n.Number == ondisk.InoBadBlocks || n.Mode == 0 && c.reserved(n.Number) {
			w.keep = false
			w.blocks()
		}
	}
	w.size(kind)
	w.blockCount()
	if kind == ondisk.ModeDir {
		d := &dirState{number: n.Number, inode: n.Inode, runs: w.runs, broken: w.broken}
		if n.Flags&ondisk.FlagInline != 0 {
			d.slot = bytes.Clone(n.slot)
		}
		c.dirs = append(c.dirs, d)
		c.byIno[n.Number] = d
	} else if w.keep {
		c.byIno[n.Number] = &dirState{number: n.Number, inode: n.Inode, runs: w.runs, broken: w.broken}
	}
	if n.Flags&ondisk.FlagEAInode != 0 {
		// ext4_xattr_inode_get_ref: in the upper half i_ctime, in the lower l_i_version.
		le := binary.LittleEndian
		c.eaInodes[n.Number] = uint64(le.Uint32(n.slot[0x0c:]))<<32 | uint64(le.Uint32(n.slot[0x24:]))
	}
}

// flags checks i_flags against the features and the type.
func (w *inodeCheck) flags(kind uint16) {
	n, f := w.n, w.super.Features
	if n.Flags&ondisk.FlagExtents != 0 && !f.HasIncompat(ondisk.IncompatExtents) {
		w.bad("it has extents, which the file system does not")
	}
	if n.Flags&ondisk.FlagInline != 0 && !f.HasIncompat(ondisk.IncompatInlineData) {
		w.bad("it has inline data, which the file system does not")
	}
	if n.Flags&ondisk.FlagInline != 0 && n.Flags&ondisk.FlagExtents != 0 {
		w.bad("it has both extents and inline data")
	}
	if n.Flags&ondisk.FlagHugeFile != 0 && !f.HasROCompat(ondisk.ROCompatHugeFile) {
		w.bad("it is a huge file, which the file system does not have")
	}
	if n.Flags&ondisk.FlagEAInode != 0 && (!f.HasIncompat(ondisk.IncompatEAInode) || kind != ondisk.ModeRegular) {
		w.bad("it holds the value of an attribute, which the file system does not have")
	}
	if n.Flags&flagIMagic != 0 && !f.HasCompat(compatIMagic) {
		w.bad("it is an AFS file, which the file system does not have")
	}
	if n.Flags&flagVerity != 0 && !f.HasROCompat(ondisk.ROCompatVerity) {
		w.bad("it has a verity digest, which the file system does not")
	}
	if n.Flags&ondisk.FlagCaseFold != 0 && (!f.HasIncompat(ondisk.IncompatCaseFold) || kind != ondisk.ModeDir) {
		w.bad("it ignores case, which only directories of file systems with casefold do")
	}
	if n.Flags&ondisk.FlagEncrypt != 0 && !f.HasIncompat(ondisk.IncompatEncrypt) {
		w.bad("it is encrypted, which the file system does not have")
	}
	if kind == ondisk.ModeDir && n.Flags&ondisk.FlagIndex != 0 && (!f.HasCompat(ondisk.CompatDirIndex) || n.Flags&ondisk.FlagInline != 0) {
		w.bad("it is a hashed directory, which the file system does not have")
	}
	if w.super.InodeSize > ondisk.OldInodeSize && n.ExtraSize > 0 && n.ExtraSize < 4 {
		w.bad("i_extra_isize %d", n.ExtraSize)
	}
	if n.Blocks>>32 != 0 && !f.HasROCompat(ondisk.ROCompatHugeFile) {
		w.bad("it has %d sectors, which the file system cannot count", n.Blocks)
	}
	if n.Size >= 1<<31 && kind == ondisk.ModeRegular && !f.HasROCompat(ondisk.ROCompatLargeFile) {
		w.bad("it has %d bytes, and the file system no large files", n.Size)
	}
}

// reservedInode checks inodes with a meaning.
func (w *inodeCheck) reservedInode(kind uint16) {
	n, s := w.n, w.super
	if !w.reserved(n.Number) {
		return
	}
	f := s.Features
	wantRegular := false
	switch {
	case n.Number == ondisk.InoRoot:
		if kind != ondisk.ModeDir {
			w.bad("the root is no directory")
		}
		return
	case n.Number == ondisk.InoBadBlocks:
		if n.Mode != 0 || n.UID != 0 || n.GID != 0 || n.Links != 0 || n.Flags != 0 || n.FileACL != 0 {
			w.bad("the list of bad blocks is a file, with mode %#o, owner %d, %d links, flags %#x", n.Mode, n.UID, n.Links, n.Flags)
		}
		return
	case n.Number == ondisk.InoResize && f.HasCompat(ondisk.CompatResizeInode), n.Number == s.JournalInode && f.HasCompat(ondisk.CompatHasJournal):
		wantRegular = true
	case (n.Number == inoUserQuota || n.Number == inoGroupQuota) && f.HasROCompat(ondisk.ROCompatQuota):
		wantRegular = n.Links > 0
	}
	switch {
	case wantRegular && kind != ondisk.ModeRegular:
		w.bad("its mode %#o is not that of a regular file", n.Mode)
	case !wantRegular && (kind != 0 || n.Links != 0 || n.Size != 0) && n.Number != s.JournalInode && n.Number != s.OrphanFileInode:
		w.bad("it is reserved, and has mode %#o, %d links and %d bytes", n.Mode, n.Links, n.Size)
	}
}

// symlink checks a symbolic link: its target lies in i_block, in inline data or
// in one block.
func (w *inodeCheck) symlink() {
	n := w.n
	if n.Flags&flagImmutable != 0 {
		w.bad("a symbolic link is immutable, or append-only")
	}
	switch {
	case n.Flags&ondisk.FlagInline != 0:
		if n.Size == 0 || n.Size > uint64(len(n.Block)) && !w.inline {
			w.bad("a symbolic link to %d bytes in its inode", n.Size)
		}
		return
	case n.Size > 0 && n.Size < uint64(len(n.Block)) && (n.Flags&ondisk.FlagExtents == 0):
		if i := bytes.IndexByte(n.Block[:], 0); uint64(max(i, 0)) != n.Size && n.Flags&ondisk.FlagEncrypt == 0 {
			w.bad("a symbolic link says that its target has %d bytes, and it has %d", n.Size, i)
		}
		return
	case n.Size == 0 || n.Size > min(targetMax, uint64(w.block)):
		w.bad("a symbolic link to %d bytes", n.Size)
	}
	w.keep = true
	w.blocks()
	if w.broken || n.Flags&ondisk.FlagEncrypt != 0 {
		return
	}
	if len(w.runs) != 1 || w.runs[0].logical != 0 || w.last != 0 {
		w.bad("a symbolic link does not have its target in one block")
		return
	}
	p, err := w.readBlock(w.runs[0].physical)
	if err != nil {
		_ = w.unreadable(w.where, err)
	} else if n.Size < uint64(w.block) {
		if i := bytes.IndexByte(p, 0); uint64(max(i, 0)) != n.Size {
			w.bad("a symbolic link says that its target has %d bytes, and it has %d", n.Size, i)
		}
	}
	w.runs = nil
	w.keep = false
}

// specialFile checks devices, FIFOs and sockets.
func (w *inodeCheck) specialFile(kind uint16) {
	n := w.n
	if n.Flags&flagImmutable != 0 || n.Flags&(ondisk.FlagExtents|ondisk.FlagIndex|ondisk.FlagInline) != 0 {
		w.bad("a device, FIFO or socket has flags %#x", n.Flags)
	}
	if n.Size != 0 {
		w.bad("a device, FIFO or socket has %d bytes", n.Size)
	}
	rest := n.Block[8:]
	if kind == ondisk.ModeFIFO || kind == ondisk.ModeSocket {
		rest = n.Block[:]
	} else if binary.LittleEndian.Uint32(n.Block[:]) != 0 {
		rest = n.Block[4:]
	}
	if !bytes.Equal(rest, allZeros[:len(rest)]) {
		w.bad("a device, FIFO or socket has blocks")
	}
}

// size compares i_size with the blocks.
func (w *inodeCheck) size(kind uint16) {
	n := w.n
	if w.broken {
		return
	}
	if n.Flags&ondisk.FlagInline != 0 {
		if room := uint64(len(n.Block)) + w.inlineRoom; !w.inline || n.Size > room {
			w.bad("it has %d bytes in its inode, where %d are", n.Size, room)
		}
		return
	}
	switch kind {
	case ondisk.ModeDir:
		if n.Size%uint64(w.block) != 0 || n.Size/uint64(w.block) != uint64(w.last+1) || n.Size == 0 {
			w.bad("the directory has %d bytes, and %d blocks", n.Size, w.last+1)
		}
	case ondisk.ModeRegular:
		if w.lastInit >= 0 && n.Flags&flagVerity == 0 && uint64(w.lastInit) > (n.Size+uint64(w.block)-1)/uint64(w.block)-min(1, n.Size) {
			if n.Size < uint64(w.lastInit)*uint64(w.block) {
				w.bad("it has %d bytes, and a block at %d", n.Size, w.lastInit*w.block)
			}
		}
		if n.Size > 1<<63-1 || n.Flags&ondisk.FlagExtents != 0 && n.Size > (1<<32-1)*uint64(w.block) ||
			n.Flags&ondisk.FlagExtents == 0 && n.Size > w.mapLimit() {
			w.bad("it has %d bytes, more than can be mapped", n.Size)
		}
	}
}

// mapLimit is the most bytes that three levels of blocks of addresses map.
func (w *inodeCheck) mapLimit() uint64 {
	n := uint64(w.block) / 4
	return (directBlocks + n + n*n + n*n*n) * uint64(w.block)
}

// blockCount compares i_blocks with the blocks that were found.
func (w *inodeCheck) blockCount() {
	n := w.n
	if w.broken || n.Number == ondisk.InoResize && w.super.Features.HasCompat(ondisk.CompatResizeInode) {
		return // resizeInode counts its own
	}
	count := w.count + w.extra
	if w.n.FileACL != 0 {
		count += w.ratio
	}
	if n.Flags&ondisk.FlagHugeFile == 0 {
		count *= uint64(w.block) / 512
	}
	if n.Blocks != count {
		w.list.Add(findBlockCount, w.where, "its blocks count as %d, and it says %d", count, n.Blocks)
	}
}
