package ext4

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"

	"diskwright/filesystem/ext4/ondisk"
)

// dirState is a directory, or another file that has to be read again.
type dirState struct {
	number uint32
	inode  ondisk.Inode
	slot   []byte // of one with inline data
	runs   []mapping
	broken bool

	parent uint32 // the directory that has a name for it, 0 for none
	dotdot uint32
	subs   uint32 // directories in it
	rooted bool   // it is below the root
}

// directories reads the names in all directories: e2fsck's second pass.
func (c *checker) directories() error {
	for _, d := range c.dirs {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		k := dirCheck{checker: c, d: d, where: fmt.Sprintf("directory, inode %d", d.number)}
		if err := k.check(); err != nil {
			return err
		}
	}
	return nil
}

// dirCheck is the check of one directory.
type dirCheck struct {
	*checker
	d     *dirState
	where string

	names map[uint64]struct{} // hashes of names, which are a few bytes each
	first bool                // the next entry is the first of the directory
	index *indexCheck         // if it is hashed
}

var nameSeed = maphash.MakeSeed()

func (k *dirCheck) bad(format string, args ...any) {
	k.list.Add(findDirectory, k.where, format, args...)
}

func (k *dirCheck) check() error {
	c, d := k.checker, k.d
	k.names = make(map[uint64]struct{})
	k.first = true
	if d.inode.Flags&ondisk.FlagInline != 0 {
		k.inline()
		return nil
	}
	if d.inode.Flags&ondisk.FlagIndex != 0 && c.super.Features.HasCompat(ondisk.CompatDirIndex) {
		k.index = &indexCheck{dirCheck: k, blocks: make(map[uint32]*indexBlock)}
		k.index.build()
	}
	next := uint64(0)
	for _, r := range d.runs {
		if r.logical != next {
			k.bad("it has a hole at block %d", next)
		}
		next = r.logical + r.count
		for i := range r.count {
			if err := c.ctx.Err(); err != nil {
				return err
			}
			p, err := c.readBlock(r.physical + i)
			if err != nil {
				if err := c.unreadable(k.where, err); err != nil {
					return err
				}
				continue
			}
			k.block(r.logical+i, p)
		}
	}
	if k.index != nil {
		k.index.finish(next)
	}
	return nil
}

// block checks a block of a directory.
func (k *dirCheck) block(logical uint64, p []byte) {
	c, d := k.checker, k.d
	seed := ondisk.InodeSeed(c.seed, d.number, d.inode.Generation)
	inner := k.index != nil && logical > 0 && k.index.isNode(uint32(logical))
	if c.checksums() {
		ok := ondisk.CheckDirTail(p, seed)
		if inner || k.index != nil && logical == 0 {
			ok = ondisk.CheckDxTail(p, seed)
		}
		if !ok {
			c.list.Add(findChecksum, k.where, "the checksum of block %d is wrong", logical)
		}
	}
	var leaf *indexBlock
	if inner {
		return
	} else if k.index != nil && logical > 0 {
		leaf = k.index.get(uint32(logical))
	}
	end := len(p)
	if c.checksums() && (k.index == nil || logical > 0) && ondisk.CheckDirTail(p, seed) {
		end -= ondisk.DirTailSize
	}
	k.entries(fmt.Sprintf("block %d", logical), p, end, leaf)
}

// inline checks the entries in an inode ("Inline Directories").
func (k *dirCheck) inline() {
	const parentSize = 4
	d := k.d
	n := &Node{Number: d.number, Inode: d.inode, slot: d.slot}
	d.dotdot = binary.LittleEndian.Uint32(d.inode.Block[:])
	if d.dotdot == 0 || d.dotdot > k.super.Inodes {
		k.bad("its parent is inode %d", d.dotdot)
	}
	k.first = false
	rest, err := k.inlineRest(n)
	if err != nil {
		k.bad("%v", err)
	}
	body := d.inode.Block[parentSize:]
	k.entries("the inode", body, len(body), nil)
	if len(rest) > 0 {
		k.entries("the attribute", rest, len(rest), nil)
	}
	if d.inode.Size < uint64(len(d.inode.Block)) || d.inode.Size > uint64(len(d.inode.Block)+len(rest)) {
		k.bad("it has %d bytes in its inode, where %d are", d.inode.Size, len(d.inode.Block)+len(rest))
	}
}

// entries checks the entries of a block up to end.
func (k *dirCheck) entries(what string, p []byte, end int, leaf *indexBlock) {
	c := k.checker
	filetype := c.super.Features.HasIncompat(ondisk.IncompatFileType)
	dots := 0
	if k.first {
		k.first, dots = false, 2
	}
	for at := 0; at < end; {
		e, err := ondisk.DecodeDirEntry(p, at, filetype)
		if err != nil || at+e.RecLen > end {
			k.bad("%s: the entry at %d does not fit into it", what, at)
			return
		}
		if !filetype && p[at+7] != 0 {
			k.bad("%s: the name at %d has %d bytes", what, at, int(p[at+7])<<8|len(e.Name))
		}
		switch dots {
		case 2:
			k.dot(e, p[at:])
		case 1:
			k.dotDot(e, p[at:])
		default:
			if e.Inode != 0 {
				k.entry(what, e, filetype, leaf)
			}
		}
		dots = max(0, dots-1)
		at += e.RecLen
	}
	if dots > 0 {
		k.bad("%s does not begin with \".\" and \"..\"", what)
	}
}

// dot checks the first entry, which begins p.
func (k *dirCheck) dot(e ondisk.DirEntry, p []byte) {
	if string(e.Name) != "." || e.Inode != k.d.number || e.RecLen != ondisk.DirEntrySize(1) {
		k.bad("its first entry is %q of inode %d in %d bytes, and should be \".\" of itself in 12", e.Name, e.Inode, e.RecLen)
	}
	k.dotType(e, p)
}

func (k *dirCheck) dotDot(e ondisk.DirEntry, p []byte) {
	if string(e.Name) != ".." || e.Inode == 0 || e.Inode > k.super.Inodes {
		k.bad("its second entry is %q of inode %d, and should be \"..\"", e.Name, e.Inode)
		return
	}
	k.d.dotdot = e.Inode
	k.dotType(e, p)
}

// dotType checks what the first two entries have in common. e2fsck wants a zero
// behind their names.
func (k *dirCheck) dotType(e ondisk.DirEntry, p []byte) {
	if p[ondisk.DirEntryHeader+len(e.Name)] != 0 {
		k.bad("there is no zero behind %q", e.Name)
	}
	if k.super.Features.HasIncompat(ondisk.IncompatFileType) && e.FileType != ondisk.FileTypeDir {
		k.bad("%q has type %d instead of that of a directory", e.Name, e.FileType)
	}
}

// entry checks a name.
func (k *dirCheck) entry(what string, e ondisk.DirEntry, filetype bool, leaf *indexBlock) {
	c, d := k.checker, k.d
	encrypted := d.inode.Flags&ondisk.FlagEncrypt != 0
	switch {
	case string(e.Name) == "." || string(e.Name) == "..":
		k.bad("%s: a second %q", what, e.Name)
		return
	case !encrypted && !validName(e.Name), len(e.Name) == 0:
		k.bad("%s: the name %q cannot be", what, e.Name)
	}
	hash := maphash.Bytes(nameSeed, e.Name)
	if _, twice := k.names[hash]; twice {
		k.bad("%s: the name %q is there twice", what, e.Name)
	}
	k.names[hash] = struct{}{}
	if leaf != nil {
		leaf.name(k.index, e.Name)
	}
	switch {
	case e.Inode > c.super.Inodes:
		k.bad("%q leads to inode %d of %d", e.Name, e.Inode, c.super.Inodes)
		return
	case e.Inode == ondisk.InoRoot || c.reserved(e.Inode):
		k.bad("%q leads to the reserved inode %d", e.Name, e.Inode)
		return
	}
	st := &c.groups[(e.Inode-1)/c.super.InodesPerGroup]
	mode, used := c.inUse(e.Inode)
	if !used {
		k.bad("%q leads to inode %d, which is not in use", e.Name, e.Inode)
		return
	}
	i := (e.Inode - 1) % c.super.InodesPerGroup
	st.found[i] = uint16(min(uint32(st.found[i])+1, 0xffff))
	if want := ondisk.FileType(mode); filetype && e.FileType != want {
		k.bad("%q has type %d, and its inode %d is of type %d", e.Name, e.FileType, e.Inode, want)
	}
	if mode == ondisk.ModeDir {
		if child := c.byIno[e.Inode]; child == nil {
		} else if child.parent != 0 {
			k.bad("%q leads to the directory %d, which has a name in directory %d already", e.Name, e.Inode, child.parent)
		} else {
			child.parent = d.number
		}
		d.subs++
	}
}

// connectivity checks that each directory is below the root, and that its ".."
// is where its name is: e2fsck's third pass.
func (c *checker) connectivity() error {
	root := c.byIno[ondisk.InoRoot]
	if root == nil || root.inode.Mode&ondisk.ModeTypeMask != ondisk.ModeDir {
		c.list.Add(findDirectory, "root", "there is no root directory")
	} else {
		root.parent, root.rooted = ondisk.InoRoot, true
	}
	for _, d := range c.dirs {
		if d.number != ondisk.InoRoot || root == nil {
			c.connected(d)
		}
		if d.parent != 0 && d.dotdot != 0 && d.dotdot != d.parent {
			c.list.Add(findDirectory, fmt.Sprintf("directory, inode %d", d.number), "\"..\" leads to inode %d, and it is in %d", d.dotdot, d.parent)
		}
	}
	return c.ctx.Err()
}

// connected follows a directory's parents up to the root, or to one that is
// known to be below it.
func (c *checker) connected(d *dirState) {
	var way []*dirState
	on := map[uint32]bool{}
	for at := d; at != nil && !at.rooted; at = c.byIno[at.parent] {
		if at.parent == 0 {
			c.list.Add(findUnattached, fmt.Sprintf("directory, inode %d", at.number), "it is in no directory")
			break
		}
		if on[at.number] {
			c.list.Add(findUnattached, fmt.Sprintf("directory, inode %d", at.number), "it is below itself")
			break
		}
		on[at.number] = true
		way = append(way, at)
	}
	for _, at := range way {
		at.rooted = true // or said not to be
	}
	if d.parent == 0 {
		d.rooted = true
	}
}

// linkCounts compares links with names: e2fsck's fourth pass.
func (c *checker) linkCounts() error {
	dirNLink := c.super.Features.HasROCompat(ondisk.ROCompatDirNLink)
	for g := range c.groups {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		st := &c.groups[g]
		for i := range st.links {
			number := uint32(g)*c.super.InodesPerGroup + uint32(i) + 1
			if st.inUse[i/64]&(1<<(i%64)) == 0 || c.ownedByFormat(number) {
				continue
			}
			links, found := st.links[i], uint32(st.found[i])
			if d := c.byIno[number]; d != nil && uint16(st.modes[i])<<12 == ondisk.ModeDir {
				want := d.subs + 2
				if uint32(links) != want && !(dirNLink && links == 1 && want > 2) {
					c.list.Add(findLinks, inodeName(number), "the directory has %d links, and %d lead to it", links, want)
				}
				continue
			}
			if _, ok := c.eaInodes[number]; ok {
				if c.eaRefs[number] == 0 {
					c.list.Add(findUnattached, inodeName(number), "it holds the value of an attribute that there is not")
				}
				continue
			}
			switch {
			case found == 0:
				c.list.Add(findUnattached, inodeName(number), "it has %d links, but no name", links)
			case found != uint32(links):
				c.list.Add(findLinks, inodeName(number), "it has %d links, and %d names", links, found)
			}
		}
	}
	return nil
}
