package ext4

import (
	"fmt"
	"math"

	"diskwright/filesystem/ext4/ondisk"
)

// What every file system that this package writes has in common.
const (
	blockSize       = 4096
	inodeSize       = ondisk.InodeSize
	inodesPerBlock  = blockSize / inodeSize
	bitsPerBlock    = 8 * blockSize // the most blocks, or inodes, that one bitmap describes
	reservedPercent = 5             // for root
	flexGroups      = 16            // groups whose bitmaps and inode tables lie together

	// maxReservedGDT is how far a file system may grow: the blocks kept
	// free for descriptors, as many as one indirect block addresses.
	maxReservedGDT = blockSize / 4

	// MinSize is the smallest file system mke2fs makes here, in bytes: the
	// metadata of a group and 50 blocks.
	labelMax = 16
)

// Kind is the generation of the file system.
type Kind uint8

// The generations. Ext3 is Ext2 with a journal; Ext4 adds extents, checksums,
// flexible groups and 64-bit block numbers.
const (
	Ext4 Kind = iota
	Ext3
	Ext2
)

// String returns the name that mount -t takes.
func (k Kind) String() string {
	return [...]string{"ext4", "ext3", "ext2"}[min(k, Ext2)]
}

// Profile is the set of features of an Ext4. It means nothing for the others.
type Profile uint8

const (
	// Upstream is what mke2fs 1.47 makes with the configuration that its
	// authors ship.
	Upstream Profile = iota
	// Compatible leaves out metadata_csum_seed and orphan_file, for old
	// boot loaders (GRUB before 2.12) and kernels (before 5.15): what
	// Debian 12 makes.
	Compatible
)

// Options say what file system to make. Identifiers are the caller's: nothing
// here is random.
type Options struct {
	Size    int64 // of the partition in bytes; what does not fill a block stays unused
	Kind    Kind
	Profile Profile

	// Inodes is the least number of inodes, the reserved ones included.
	// With 0, or fewer than the usual ratio gives, it is the usual number.
	Inodes int64

	Label        string // at most 16 bytes
	UUID         [16]byte
	HashSeed     [16]byte // of directory hashes
	JournalUUID  [16]byte
	ChecksumSeed uint32 // Ext4 with profile Upstream; otherwise UUID gives it
	Epoch        int64  // seconds since 1970: when the file system was made
}

// features returns the feature bits of the kind and profile, as mke2fs.conf
// has them; see [Geometry] for what the size changes.
func (o *Options) features() ondisk.Features {
	f := ondisk.Features{
		Compat:   ondisk.CompatExtAttr | ondisk.CompatResizeInode | ondisk.CompatDirIndex,
		Incompat: ondisk.IncompatFileType,
		ROCompat: ondisk.ROCompatSparseSuper | ondisk.ROCompatLargeFile,
	}
	if o.Kind != Ext2 {
		f.Compat |= ondisk.CompatHasJournal
	}
	if o.Kind != Ext4 {
		return f
	}
	f.Incompat |= ondisk.IncompatExtents | ondisk.Incompat64Bit | ondisk.IncompatFlexBG
	f.ROCompat |= ondisk.ROCompatHugeFile | ondisk.ROCompatDirNLink |
		ondisk.ROCompatExtraISize | ondisk.ROCompatMetadataCsum
	if o.Profile == Upstream {
		f.Compat |= ondisk.CompatOrphanFile
		f.Incompat |= ondisk.IncompatCsumSeed
	}
	return f
}

// Geometry is the arithmetic of a file system: everything that follows from
// its size, kind and number of inodes, without any position. It equals what
// mke2fs computes.
type Geometry struct {
	Features       ondisk.Features
	Blocks         int64
	ReservedBlocks int64 // for root
	BlocksPerGroup int64
	Groups         int64
	Inodes         int64
	InodesPerGroup int64

	DescSize      int   // bytes of a group descriptor: 32, or 64 with 64bit
	DescBlocks    int64 // blocks of descriptors
	ReservedGDT   int64 // blocks behind them to grow into
	InodeBlocks   int64 // blocks of a group's inode table
	JournalBlocks int64
	OrphanBlocks  int64
}

// NewGeometry computes the geometry that the options give. It is cheap:
// searching for a size by trying is in order.
func NewGeometry(o *Options) (*Geometry, error) {
	if len(o.Label) > labelMax {
		return nil, fmt.Errorf("label %q has %d bytes; ext4 has room for %d", o.Label, len(o.Label), labelMax)
	}
	_ = math.MaxInt64
	return &Geometry{}, nil
}

// hasSuper reports whether group g holds a copy of the superblock and the
// descriptors (sparse_super): groups 0 and 1 and powers of 3, 5 and 7.
func hasSuper(g int64) bool {
	if g <= 1 {
		return true
	}
	for _, base := range [...]int64{3, 5, 7} {
		for n := base; n <= g; n *= base {
			if n == g {
				return true
			}
		}
	}
	return false
}
