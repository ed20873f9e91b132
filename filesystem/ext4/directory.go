package ext4

import (
	"diskwright/filesystem/ext4/ondisk"
	"diskwright/tree"
)

// A directory of one block holds its entries in the order of their names,
// behind "." and "..". A larger one is hashed: see htree.go.
//
//	| . | .. | name | name | ... (the last reaches to the end) | tail |
const (
	// lostFoundBlocks is the least size of lost+found: 16 KiB as mke2fs makes
	// it, so that e2fsck can put files there without allocating any.
	lostFoundBlocks = 4

	dotsSize = 2 * 12 // "." and ".."
)

// directory is what the plan keeps of a directory: who it is, and if it is
// hashed the order of its entries.
type directory struct {
	ordinal, parent uint32
	index           *hashIndex
}

// arrange decides how the directory lies in its blocks.
func (d *directory) arrange(c *census) error {
	size := dotsSize
	entries := c.inodes[d.ordinal].Entries
	for _, e := range entries {
		size += ondisk.DirEntrySize(len(e.Name))
		if size > c.leafSize() {
			index, err := newHashIndex(entries, c.opts.HashSeed, c.leafSize(), c.checksums)
			d.index = index
			return err
		}
	}
	return nil
}

// leafSize returns how many bytes a block has for entries.
func (c *census) leafSize() int {
	if c.checksums {
		return blockSize - ondisk.DirTailSize
	}
	return blockSize
}

// directoryBlocks returns how many blocks a directory has.
func (c *census) directoryBlocks(d *directory) int64 {
	switch {
	case d.index != nil:
		return d.index.blocks()
	case d.ordinal == c.lostFound:
		return lostFoundBlocks
	}
	return 1
}

// directoryBlock writes block i of a directory.
func (fs *FileSystem) directoryBlock(p []byte, d *directory, i int64) {
	ino := fs.ino(d.ordinal)
	x := d.index
	clear(p)
	switch {
	case x == nil:
		fs.linearBlock(p, d, i)
	case i <= x.nodes:
		x.putNode(p, i, ino, fs.ino(d.parent), fs.inodes[d.ordinal].Entries)
		if fs.checksums {
			ondisk.SetDxTail(p, fs.inodeSeed(ino))
		}
		return
	default:
		fs.hashedLeaf(p, d, i-1-x.nodes)
	}
	if fs.checksums {
		ondisk.SetDirTail(p, fs.inodeSeed(ino))
	}
}

// linearBlock writes the entries of a block of a directory that is not
// hashed; all but the first are empty.
func (fs *FileSystem) linearBlock(p []byte, d *directory, i int64) {
	w := dirWriter{block: p[:fs.leafSize()]}
	if i == 0 {
		w.add(fs.ino(d.ordinal), ondisk.FileTypeDir, ".")
		w.add(fs.ino(d.parent), ondisk.FileTypeDir, "..")
		for _, e := range fs.inodes[d.ordinal].Entries {
			fs.addEntry(&w, e)
		}
	}
	w.finish()
}

// hashedLeaf writes the entries of the i-th leaf of a hashed directory.
func (fs *FileSystem) hashedLeaf(p []byte, d *directory, i int64) {
	w := dirWriter{block: p[:fs.leafSize()]}
	entries := fs.inodes[d.ordinal].Entries
	for _, e := range d.index.leaf(i) {
		fs.addEntry(&w, entries[e])
	}
	w.finish()
}

func (fs *FileSystem) addEntry(w *dirWriter, e tree.Entry) {
	w.add(fs.ino(e.Inode.Ordinal), ondisk.FileType(uint16(e.Inode.Mode)), e.Name)
}

// dirWriter writes entries to a cleared block of a directory, each when it is known
// whether another one follows: the last one's length reaches to the end.
type dirWriter struct {
	block    []byte
	at       int // of the last entry
	last     ondisk.DirEntry
	lastSize int
	name     [tree.NameMax]byte
}

func (w *dirWriter) add(ino uint32, fileType uint8, name string) {
	w.put(w.lastSize)
	w.last = ondisk.DirEntry{Inode: ino, FileType: fileType, Name: w.name[:copy(w.name[:], name)]}
	w.lastSize = ondisk.DirEntrySize(len(name))
}

// put writes the last entry with a length and makes the next one the last.
func (w *dirWriter) put(recLen int) {
	if recLen == 0 {
		return
	}
	w.last.RecLen = recLen
	w.last.Encode(w.block[w.at:])
	w.at += recLen
}

// finish ends the block. A block without entries is one entry without a name.
func (w *dirWriter) finish() { w.put(len(w.block) - w.at) }
