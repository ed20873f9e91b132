package ext4

import (
	"diskwright/filesystem/ext4/ondisk"
)

// run is a run of blocks: count of them from start on.
type run struct{ start, count int64 }

// end returns the block behind the last.
func (r run) end() int64 { return r.start + r.count }

// layout says where everything lies that does not depend on the tree. It is
// computed in time and memory linear in the number of flex groups.
type layout struct {
	Geometry
	opts Options
	seed uint32 // of metadata checksums; meaningless without them

	// static are the blocks of the layout's own structures, ascending, with
	// free blocks between any two. The root directory and lost+found are
	// not among them: in the order root, lost+found (4 blocks), files, they
	// lie where mke2fs puts them.
	static []run
}

// newLayout computes the layout for a geometry.
func newLayout(o *Options, geo *Geometry) (*layout, error) {
	return &layout{Geometry: *geo, opts: *o}, nil
}

// checksums reports whether metadata has checksums (metadata_csum).
func (l *layout) checksums() bool { return l.Features.HasROCompat(ondisk.ROCompatMetadataCsum) }

// extents reports whether files are mapped by extents, not by indirect blocks.
func (l *layout) extents() bool { return l.Features.HasIncompat(ondisk.IncompatExtents) }

// free returns the blocks that files may have: all but static, ascending.
func (l *layout) free() []run { return nil }

// freeBlocks returns how many blocks free returns.
func (l *layout) freeBlocks() int64 { return 0 }

// firstInode returns the lowest inode number for what the tree holds: behind
// lost+found and the orphan file.
func (l *layout) firstInode() uint32 { return ondisk.InoFirst + 1 }

// blockBitmap, inodeBitmap and inodeTable return where those of group g are.
func (l *layout) blockBitmap(g int64) int64 { return 0 }

func (l *layout) inodeBitmap(g int64) int64 { return 0 }

func (l *layout) inodeTable(g int64) int64 { return 0 }

// inodeOffset returns where inode ino is in the file system, in bytes.
func (l *layout) inodeOffset(ino uint32) int64 { return 0 }

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

// specialInode returns what inode ino holds: one of those below the first
// free one, but neither root (2) nor lost+found (11).
func (l *layout) specialInode(ino uint32) *ondisk.Inode { return &ondisk.Inode{} }

// dirHash returns the hash of a name in a hashed directory. Bytes are signed, as
// on x86 and as the superblock's flags say.
func (l *layout) dirHash(name string) (major, minor uint32) {
	major, minor, _ = ondisk.DirHash(ondisk.HashHalfMD4, l.opts.HashSeed, []byte(name))
	return major, minor
}
