package ext4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"diskwright/content"
	"diskwright/filesystem/ext4/ondisk"
)

var (
	// ErrNotExt is the error of what is no ext2, ext3 or ext4.
	ErrNotExt = errors.New("not an ext2, ext3 or ext4 file system")
	// ErrCorrupt is wrapped by errors of what breaks the format: numbers out
	// of bounds, wrong checksums, what cannot be mapped.
	ErrCorrupt = errors.New("corrupt")
	// ErrUnsupported is wrapped by errors of what the format has and this
	// reader does not know, above all encryption.
	ErrUnsupported = errors.New("not supported")
)

func corrupt(format string, args ...any) error {
	return fmt.Errorf("ext4: %w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("ext4: %s: %w", fmt.Sprintf(format, args...), ErrUnsupported)
}

// Volume is an ext2, ext3 or ext4 file system that is read: one that this
// package made or any other. Whatever has a checksum is refused if that is
// wrong. What is in a journal and not yet in its place is not seen (see
// [Volume.NeedsRecovery]). It is safe for concurrent use if its source is.
type Volume struct {
	device *io.SectionReader
	super  *ondisk.Superblock
	seed   uint32 // of checksums
	block  int64  // size in bytes
	cache  blockCache
}

// readable are the incompatible features that a reader copes with. Of the
// read-only compatible ones none matters to it.
const readable = ondisk.IncompatFileType | ondisk.IncompatRecover | ondisk.IncompatMetaBG | ondisk.IncompatExtents |
	ondisk.Incompat64Bit | ondisk.IncompatMMP | ondisk.IncompatFlexBG | ondisk.IncompatEAInode | ondisk.IncompatCsumSeed |
	ondisk.IncompatLargeDir | ondisk.IncompatInlineData | ondisk.IncompatEncrypt | ondisk.IncompatCaseFold

// Open reads the superblock of the file system in the size bytes of r. What
// has none is [ErrNotExt].
func Open(r io.ReaderAt, size int64) (*Volume, error) {
	p := make([]byte, ondisk.SuperblockSize)
	if size < ondisk.SuperblockOffset+ondisk.SuperblockSize {
		return nil, ErrNotExt
	}
	if err := content.ReadFull(r, p, ondisk.SuperblockOffset); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint16(p[0x38:]) != ondisk.SuperMagic {
		return nil, ErrNotExt
	}
	s, err := ondisk.DecodeSuperblock(p)
	switch {
	case err != nil:
		return nil, corrupt("%v", err)
	case s.Features.HasROCompat(ondisk.ROCompatMetadataCsum) && !ondisk.CheckSuperblock(p):
		return nil, corrupt("the superblock's checksum is wrong")
	case s.Features.Incompat&^readable != 0:
		return nil, unsupported("incompatible features %#x", s.Features.Incompat&^readable)
	}
	v := &Volume{device: io.NewSectionReader(r, 0, size), super: s, seed: s.Seed(), block: int64(s.BlockSize())}
	return v, nil
}

// Superblock returns the superblock, which must not be changed.
func (v *Volume) Superblock() *ondisk.Superblock { return v.super }

// NeedsRecovery reports whether the journal holds changes that a mount would
// make first. What is read is the state before them.
func (v *Volume) NeedsRecovery() bool { return v.super.Features.HasIncompat(ondisk.IncompatRecover) }

func (v *Volume) checksums() bool {
	return v.super.Features.HasROCompat(ondisk.ROCompatMetadataCsum)
}

// checkRange returns an error if there are no count blocks from number on,
// or if they are not on the device.
func (v *Volume) checkRange(number, count uint64) error {
	if number >= v.super.Blocks || count > v.super.Blocks-number {
		return corrupt("blocks %d to %d of %d", number, number+count-1, v.super.Blocks)
	}
	if number+count > uint64(v.device.Size()/v.block) {
		return corrupt("blocks %d to %d lie behind the %d bytes that there are", number, number+count-1, v.device.Size())
	}
	return nil
}

// readBlock returns the block of that number. It must not be changed.
func (v *Volume) readBlock(number uint64) ([]byte, error) {
	if err := v.checkRange(number, 1); err != nil {
		return nil, err
	}
	return v.cache.get(number, func() ([]byte, error) {
		p := make([]byte, v.block)
		return p, content.ReadFull(v.device, p, int64(number)*v.block)
	})
}

// blockCache holds the blocks of metadata that were read last, so that a walk
// reads each block of an inode table about once. Each has one place it can be in.
type blockCache struct {
	mu      sync.Mutex
	entries [cachedBlocks]struct {
		number uint64
		data   []byte
	}
}

const cachedBlocks = 256

func (c *blockCache) get(number uint64, read func() ([]byte, error)) ([]byte, error) {
	at := &c.entries[number%cachedBlocks]
	c.mu.Lock()
	if at.data != nil && at.number == number {
		defer c.mu.Unlock()
		return at.data, nil
	}
	c.mu.Unlock()
	data, err := read()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at.number, at.data = number, data
	return data, nil
}

// groupDesc returns the descriptor of a group ("Block Group Descriptors",
// "Meta Block Groups").
func (v *Volume) groupDesc(group uint64) (ondisk.GroupDesc, error) {
	size := uint64(v.super.GroupDescSize())
	perBlock := uint64(v.block) / size
	table := group / perBlock
	number := uint64(ondisk.SuperblockOffset/v.block) + 1 + table
	if v.super.Features.HasIncompat(ondisk.IncompatMetaBG) && table >= uint64(v.super.FirstMetaBG) {
		// The block lies in the first of the groups it describes, behind the
		// copy of the superblock if that has one.
		first := table * perBlock
		number = uint64(v.super.FirstDataBlock) + first*uint64(v.super.BlocksPerGroup)
		if hasSuperCopy(v.super, first) {
			number++
		}
		if first == 0 && v.super.FirstDataBlock == 0 && v.block == ondisk.SuperblockOffset {
			number++ // bigalloc: block 0 is before the superblock's
		}
	}
	p, err := v.readBlock(number)
	if err != nil {
		return ondisk.GroupDesc{}, err
	}
	return ondisk.DecodeGroupDesc(p[group%perBlock*size:][:size]), nil
}

// hasSuperCopy reports whether the group has a copy of the superblock
// ("Super Block": sparse_super, sparse_super2).
func hasSuperCopy(s *ondisk.Superblock, group uint64) bool {
	switch {
	case group == 0:
		return true
	case s.Features.HasCompat(ondisk.CompatSparseSuper2):
		return group == uint64(s.BackupGroups[0]) || group == uint64(s.BackupGroups[1])
	}
	return !s.Features.HasROCompat(ondisk.ROCompatSparseSuper) || hasSuper(int64(group))
}

// Node is an inode that was read.
type Node struct {
	Number uint32
	ondisk.Inode
	slot []byte // as on disk: attributes lie behind the fields
}

// Root returns the root directory.
func (v *Volume) Root() (*Node, error) { return v.Node(ondisk.InoRoot) }

// Node reads the inode of that number.
func (v *Volume) Node(number uint32) (*Node, error) {
	s := v.super
	if number == 0 || number > s.Inodes {
		return nil, corrupt("inode %d of %d", number, s.Inodes)
	}
	group, index := uint64(number-1)/uint64(s.InodesPerGroup), int64(number-1)%int64(s.InodesPerGroup)
	desc, err := v.groupDesc(group)
	if err != nil {
		return nil, fmt.Errorf("inode %d: %w", number, err)
	}
	at := index * int64(s.InodeSize)
	p, err := v.readBlock(desc.InodeTable + uint64(at/v.block))
	if err != nil {
		return nil, fmt.Errorf("inode %d: %w", number, err)
	}
	n := &Node{Number: number, slot: p[at%v.block:][:s.InodeSize]}
	if v.checksums() && !ondisk.CheckInode(n.slot, v.seed, number) {
		return nil, corrupt("the checksum of inode %d is wrong", number)
	}
	if n.Inode, err = ondisk.DecodeInode(n.slot); err != nil {
		return nil, corrupt("inode %d: %v", number, err)
	}
	return n, nil
}

// IsDir reports whether n is a directory.
func (n *Node) IsDir() bool { return n.Mode&ondisk.ModeTypeMask == ondisk.ModeDir }

// Device returns the numbers of a device node: i_block holds a 16-bit dev_t in
// its first word, or else a 32-bit one in its second.
func (n *Node) Device() (major, minor uint32) {
	le := binary.LittleEndian
	if old := le.Uint32(n.Block[0:]); old != 0 {
		return old >> 8 & 0xff, old & 0xff
	}
	dev := le.Uint32(n.Block[4:])
	return dev >> 8 & 0xfff, dev&0xff | dev>>12&0xfff00
}
