package ext4

import (
	"encoding/binary"

	"diskwright/content"
	"diskwright/filesystem/ext4/ondisk"
	"diskwright/tree"
)

// Inodes are numbered by ordinal, without gaps, so that the inode tables of
// later groups stay unused: 2 is the root, 11 lost+found (12 may be the orphan
// file), the rest follows.

// ino returns the inode number for an ordinal.
func (fs *FileSystem) ino(ordinal uint32) uint32 {
	switch {
	case ordinal == 0:
		return ondisk.InoRoot
	case ordinal == fs.lostFound:
		return ondisk.InoFirst
	case ordinal < fs.lostFound:
		return fs.layout.firstInode() + ordinal - 1
	}
	return fs.layout.firstInode() + ordinal - 2
}

// ordinal returns the ordinal for an inode number in use; ok is false for
// those that the layout fills.
func (fs *FileSystem) ordinal(ino uint32) (ordinal uint32, ok bool) {
	switch first := fs.layout.firstInode(); {
	case ino == ondisk.InoRoot:
		return 0, true
	case ino == ondisk.InoFirst:
		return fs.lostFound, true
	case ino < first:
		return 0, false
	case ino-first+1 < fs.lostFound:
		return ino - first + 1, true
	default:
		return ino - first + 2, true
	}
}

// lastInode returns the highest inode number in use.
func (fs *FileSystem) lastInode() uint32 {
	return fs.layout.firstInode() + uint32(len(fs.inodes)) - 3
}

// inodeSeed returns the seed of checksums of what belongs to an inode.
func (fs *FileSystem) inodeSeed(ino uint32) uint32 {
	return ondisk.InodeSeed(fs.layout.seed, ino, 0)
}

// directoriesByGroup counts the directories whose inode is in each group, up
// to the last group that has one.
func (fs *FileSystem) directoriesByGroup() []uint32 {
	group := func(ordinal uint32) int64 { return int64(fs.ino(ordinal)-1) / fs.layout.InodesPerGroup }
	counts := []uint32{}
	for _, d := range fs.dirs {
		g := group(d.ordinal)
		for int64(len(counts)) <= g {
			counts = append(counts, 0)
		}
		counts[g]++
	}
	return counts
}

// inodeBlock writes a block of an inode table, whose first inode is ino.
func (fs *FileSystem) inodeBlock(p []byte, ino uint32) error {
	for ; len(p) > 0; ino, p = ino+1, p[inodeSize:] {
		slot := p[:inodeSize]
		if ino > fs.lastInode() {
			clear(p)
			return nil
		}
		ordinal, ok := fs.ordinal(ino)
		if !ok {
			fs.layout.encodeInode(slot, ino, fs.layout.specialInode(ino))
			continue
		}
		if err := fs.inode(slot, ino, ordinal); err != nil {
			return fs.pathError(ordinal, err)
		}
	}
	return nil
}

// inode writes the slot of an inode of the tree. All four times are the one
// that the tree has; the kernel's range applies, and what lies beyond it becomes
// its nearest end, as with utimensat.
func (fs *FileSystem) inode(slot []byte, ino, ordinal uint32) error {
	from := fs.inodes[ordinal]
	t := ondisk.Time(from.Mtime)
	to := ondisk.Inode{
		Mode: uint16(from.Mode),
		UID:  from.UID, GID: from.GID,
		Links: linkCount(from),
		Atime: t, Ctime: t, Mtime: t, Crtime: t,
		ExtraSize: ondisk.ExtraInodeSize,
	}
	blocks, err := fs.putContent(&to, ordinal)
	if err != nil {
		return err
	}
	attrs, _, err := fs.splitXattrs(from)
	if err != nil {
		return err
	}
	if i, ok := fs.xattrs.blockOf(ordinal); ok {
		to.FileACL = uint64(fs.space.block(fs.xattrRank + int64(i)))
		blocks++
	}
	to.Blocks = uint64(blocks * sectorsPerBlock)
	to.Encode(slot)
	putInodeXattrs(slot, attrs)
	fs.layout.sealInode(slot, ino)
	return nil
}

// linkCount returns the count of links. A directory with more subdirectories
// than can be counted has 1 (dir_nlink).
func linkCount(inode *tree.Inode) uint16 {
	if inode.Links > linkMax {
		return 1
	}
	return uint16(inode.Links)
}

// putContent fills in what depends on the type: size, flags and i_block. It
// returns how many blocks the inode has, those of its map included.
func (fs *FileSystem) putContent(to *ondisk.Inode, ordinal uint32) (blocks int64, err error) {
	from := fs.inodes[ordinal]
	switch from.Type() {
	case tree.TypeChar, tree.TypeBlock:
		putDevice(to.Block[:], from.Major, from.Minor)
		return 0, nil
	case tree.TypeFIFO, tree.TypeSocket:
		return 0, nil
	case tree.TypeSymlink:
		to.Size = uint64(from.Size())
		if to.Size <= fastTargetMax {
			return 0, content.ReadFull(from.Content, to.Block[:to.Size], 0)
		}
	case tree.TypeRegular:
		to.Size = uint64(from.Size())
	case tree.TypeDir:
		d := fs.directory(ordinal)
		to.Size = uint64(fs.directoryBlocks(d) * blockSize)
		if d.index != nil {
			to.Flags |= ondisk.FlagIndex
		}
	}
	if fs.opts.Kind == Ext4 {
		to.Flags |= ondisk.FlagExtents
	}
	m := fs.blockMap(ordinal)
	m.root(to.Block[:])
	return fs.body(ordinal).blocks + m.nodes(), nil
}

// putDevice writes a device number to i_block: in the first word where both
// parts fit a byte, in the second otherwise (old_encode_dev and
// new_encode_dev of the kernel).
func putDevice(p []byte, major, minor uint32) {
	le := binary.LittleEndian
	if major < 256 && minor < 256 {
		le.PutUint32(p, major<<8|minor)
		return
	}
	le.PutUint32(p[4:], minor&0xff|major<<8|minor&^0xff<<12)
}
