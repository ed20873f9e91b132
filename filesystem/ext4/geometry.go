package ext4

import (
	"fmt"
	"slices"
	"strings"

	"diskwright/filesystem/ext4/ondisk"
)

// What every file system that this package writes has in common.
const (
	logBlockSize    = 2 // blocks have 1024 << 2 bytes
	blockSize       = 1024 << logBlockSize
	inodeSize       = ondisk.InodeSize
	inodesPerBlock  = blockSize / inodeSize
	bitsPerBlock    = 8 * blockSize // the most blocks, or inodes, that one bitmap describes
	reservedPercent = 5             // of the blocks, for root
	logFlexGroups   = 4
	flexGroups      = 1 << logFlexGroups // groups whose bitmaps and inode tables lie together
	labelMax        = 16                 // bytes of s_volume_name

	// lastGroupSlack is how many blocks the last group needs beyond its
	// metadata; a smaller one is left out of the file system.
	lastGroupSlack = 50
	// growth is how many times its size the file system has room in its
	// reserved descriptor blocks to grow to.
	growth = 1024
	// maxReservedGDT is how many of those there can be: what one indirect
	// block of the resize inode addresses.
	maxReservedGDT = entriesInBlock
	// retryStep is by how many blocks groups get smaller until the inodes
	// of one fit its bitmap.
	retryStep = 8
	// minBlocksPerGroup ends that.
	minBlocksPerGroup = 256

	max32 = 1<<32 - 1 // the most blocks without 64bit, or inodes
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
	// Compatible is what Debian 12 makes: without metadata_csum_seed, which
	// GRUB before 2.12 refuses, and orphan_file, which e2fsck before 1.47
	// refuses and kernels before 5.15 do not use.
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
	Blocks         int64 // may be fewer than the partition has
	ReservedBlocks int64 // for root
	BlocksPerGroup int64
	Groups         int64
	Inodes         int64
	InodesPerGroup int64

	DescSize      int64 // bytes of a group descriptor: 32, or 64 with 64bit
	DescBlocks    int64 // blocks of descriptors
	ReservedGDT   int64 // blocks behind them to grow into
	InodeBlocks   int64 // blocks of a group's inode table
	JournalBlocks int64 // 0 without a journal
	OrphanBlocks  int64 // 0 without an orphan file
}

// NewGeometry computes the geometry that the options give. It is cheap:
// searching for a size by trying is in order.
func NewGeometry(o *Options) (*Geometry, error) {
	if len(o.Label) > labelMax {
		return nil, fmt.Errorf("label %q has %d bytes; %s has room for %d", o.Label, len(o.Label), o.Kind, labelMax)
	}
	if strings.IndexByte(o.Label, 0) >= 0 {
		return nil, fmt.Errorf("label %q holds a zero byte, which ends a label", o.Label)
	}
	if o.Epoch < 0 {
		return nil, fmt.Errorf("%s cannot be made %d seconds before 1970", o.Kind, -o.Epoch)
	}
	blocks := o.Size / blockSize
	inodes := max(min(blocks*blockSize/inodeRatio(blocks), max32), o.Inodes)
	if blocks > max32 && o.Kind != Ext4 {
		return nil, fmt.Errorf("%s of %d bytes; it can have 16 TiB less one block", o.Kind, o.Size)
	}
	if blocks <= 0 {
		return nil, fmt.Errorf("no room for %s in %d bytes", o.Kind, o.Size)
	}
	if inodes > max32 || inodes*inodeSize >= blocks*blockSize {
		return nil, o.tooManyInodes(inodes)
	}
	g := &Geometry{Features: o.features(), DescSize: ondisk.DescSize32}
	if g.Features.HasIncompat(ondisk.Incompat64Bit) {
		g.DescSize = ondisk.DescSize64
	}
	if blocks > max32 {
		// Block numbers in the resize inode's indirect blocks have 32 bits.
		g.Features.Compat &^= ondisk.CompatResizeInode
	}
	if err := g.divide(o, blocks, inodes); err != nil {
		return nil, err
	}
	g.JournalBlocks = journalBlocks(g.Blocks)
	if g.JournalBlocks == 0 {
		g.Features.Compat &^= ondisk.CompatHasJournal | ondisk.CompatOrphanFile
	}
	if !g.hasJournal() {
		g.JournalBlocks = 0
	}
	if g.hasOrphanFile() {
		g.OrphanBlocks = orphanBlocks(g.Blocks)
	}
	return g, nil
}

// divide divides blocks and inodes into groups. Where the last group is too
// small for its own metadata the file system ends before it; where a group would
// have more inodes than its bitmap, groups are made smaller, step by step, with
// the last group back again. Both meet just above multiples of 128 MiB.
func (g *Geometry) divide(o *Options, blocks, inodes int64) error {
	reserved := blocks * reservedPercent / 100
	g.Blocks, g.ReservedBlocks, g.BlocksPerGroup = blocks, reserved, bitsPerBlock
	for {
		if g.Blocks <= 0 {
			return fmt.Errorf("no room for %s in %d bytes", o.Kind, o.Size)
		}
		g.Groups = ceilDiv(g.Blocks, g.BlocksPerGroup)
		g.DescBlocks = ceilDiv(g.Groups*g.DescSize, blockSize)
		g.ReservedGDT = g.reservedGDT()
		if g.DescBlocks+g.ReservedGDT > g.BlocksPerGroup*3/4 {
			return fmt.Errorf("%s of %d bytes; it can have 192 TiB (more needs the feature meta_bg)", o.Kind, o.Size)
		}
		if ceilDiv(inodes, g.Groups) > bitsPerBlock {
			if g.BlocksPerGroup < minBlocksPerGroup {
				return o.tooManyInodes(inodes)
			}
			g.BlocksPerGroup -= retryStep
			g.Blocks = blocks
			continue
		}
		g.divideInodes(inodes)
		if 3+g.InodeBlocks+g.DescBlocks+g.ReservedGDT > g.BlocksPerGroup {
			return o.tooManyInodes(inodes)
		}

		last := g.Blocks % g.BlocksPerGroup
		overhead := 2 + g.InodeBlocks
		if hasSuper(g.Groups - 1) {
			overhead += 1 + g.DescBlocks + g.ReservedGDT
		}
		if g.Groups == 1 && last != 0 && last < overhead {
			return fmt.Errorf("no room for %s in %d bytes; its metadata needs %d", o.Kind, o.Size, overhead*blockSize)
		}
		if last == 0 || last >= overhead+lastGroupSlack {
			return nil
		}
		g.Blocks -= last
		// In floating point, as mke2fs: rounding down is visible. Separate
		// variables keep compilers from fusing the operations.
		percent := 100 * float64(reserved) / float64(blocks)
		share := percent * float64(g.Blocks)
		g.ReservedBlocks = int64(share / 100)
	}
}

// divideInodes gives each group as many whole blocks of inodes as it takes.
func (g *Geometry) divideInodes(inodes int64) {
	for perGroup := ceilDiv(inodes, g.Groups); ; {
		g.InodeBlocks = max(ceilDiv(perGroup, inodesPerBlock), 1)
		g.InodesPerGroup = g.InodeBlocks * inodesPerBlock
		g.Inodes = g.InodesPerGroup * g.Groups
		switch {
		case g.Inodes > max32:
			perGroup--
		case g.Inodes < ondisk.InoFirst+1:
			perGroup += 8
		default:
			return
		}
	}
}

// reservedGDT returns how many blocks of descriptors the file system needs more
// if it grows a thousandfold, or to 2^32 blocks.
func (g *Geometry) reservedGDT() int64 {
	if !g.Features.HasCompat(ondisk.CompatResizeInode) {
		return 0
	}
	most := min(g.Blocks*growth, max32)
	if g.Blocks >= max32/growth {
		most = max32
	}
	needed := ceilDiv(ceilDiv(most, g.BlocksPerGroup)*g.DescSize, blockSize)
	return min(needed-g.DescBlocks, maxReservedGDT)
}

func (o *Options) tooManyInodes(inodes int64) error {
	return fmt.Errorf("no room for %d inodes in %s of %d bytes", inodes, o.Kind, o.Size)
}

// hasJournal reports whether there is a journal.
func (g *Geometry) hasJournal() bool { return g.Features.HasCompat(ondisk.CompatHasJournal) }

// hasOrphanFile reports whether there is an orphan file.
func (g *Geometry) hasOrphanFile() bool { return g.Features.HasCompat(ondisk.CompatOrphanFile) }

// hasResizeInode reports whether the file system can grow by its resize inode.
func (g *Geometry) hasResizeInode() bool { return g.Features.HasCompat(ondisk.CompatResizeInode) }

// checksums reports whether metadata has checksums (metadata_csum).
func (g *Geometry) checksums() bool { return g.Features.HasROCompat(ondisk.ROCompatMetadataCsum) }

// extents reports whether files are mapped by extents, not by indirect blocks.
func (g *Geometry) extents() bool { return g.Features.HasIncompat(ondisk.IncompatExtents) }

// flex returns how many groups keep their bitmaps and inode tables together:
// 1 without flex_bg.
func (g *Geometry) flex() int64 {
	if g.Features.HasIncompat(ondisk.IncompatFlexBG) {
		return flexGroups
	}
	return 1
}

// groupStart returns the first block of group n.
func (g *Geometry) groupStart(n int64) int64 { return n * g.BlocksPerGroup }

// groupRun returns the blocks of group n; the last one may have fewer.
func (g *Geometry) groupRun(n int64) run {
	start := g.groupStart(n)
	return run{start, min(g.BlocksPerGroup, g.Blocks-start)}
}

// superBlocks returns how many blocks the superblock and the descriptors take
// at the start of group n.
func (g *Geometry) superBlocks(n int64) int64 {
	if !hasSuper(n) {
		return 0
	}
	return 1 + g.DescBlocks + g.ReservedGDT
}

// inodeRatio returns the bytes of the file system for which there is an inode,
// from the types floppy, small, default, big and huge of mke2fs.conf.
func inodeRatio(blocks int64) int64 {
	const mebibyte = 1 << 20 / blockSize
	switch {
	case blocks < 3*mebibyte:
		return 8192
	case blocks < 512*mebibyte:
		return 4096
	case blocks < 4<<20*mebibyte:
		return 16384
	case blocks < 16<<20*mebibyte:
		return 32768
	}
	return 65536
}

// hasSuper reports whether group g holds a copy of the superblock and the
// descriptors (sparse_super): groups 0 and 1 and powers of 3, 5 and 7.
func hasSuper(g int64) bool {
	if g <= 1 {
		return true
	}
	if g%2 == 0 {
		return false
	}
	for _, base := range backupBases {
		n := base
		for n < g {
			n *= base
		}
		if n == g {
			return true
		}
	}
	return false
}

var backupBases = [...]int64{3, 5, 7}

// backups returns the groups but 0 that hold copies, ascending.
func (g *Geometry) backups() []int64 {
	var groups []int64
	if g.Groups > 1 {
		groups = append(groups, 1)
	}
	for _, base := range backupBases {
		for n := base; n < g.Groups; n *= base {
			groups = append(groups, n)
		}
	}
	slices.Sort(groups)
	return groups
}

// ceilDiv divides, rounding up; b is positive.
func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }
