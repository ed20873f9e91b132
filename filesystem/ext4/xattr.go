package ext4

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"diskwright/filesystem/ext4/ondisk"
	"diskwright/tree"
)

// Extended attributes ("Extended Attributes" of the kernel's documentation) lie
// in the inode behind its fields, and where that does not suffice in one block,
// which inodes with the same attributes share:
//
//	inode  | fields | magic | entry | entry | 0 |  ...  | value | value |
//	block  | header         | entry | entry | 0 |  ...  | value | value |
const (
	xattrEndSize = 4 // zeros behind the last entry

	// xattrInInode and xattrInBlock are the bytes for entries, the end of
	// entries, and values.
	xattrInInode = inodeSize - ondisk.OldInodeSize - ondisk.ExtraInodeSize - ondisk.XattrMagicSize
	xattrInBlock = blockSize - ondisk.XattrBlockHeader

	// xattrSharers is how many inodes the kernel lets share a block:
	// EXT4_XATTR_REFCOUNT_MAX.
	xattrSharers = 1024

	// xattrNameMax is the longest name that system calls take, prefix
	// included: XATTR_NAME_MAX.
	xattrNameMax = 255
)

// xattrPrefixes are the prefixes of names that are numbers on disk. The ACLs'
// are whole names. system.data is the rest of a small file with inline_data,
// which nothing here has.
var xattrPrefixes = []struct {
	prefix string
	index  uint8
}{
	{"user.", ondisk.XattrIndexUser},
	{nameACLAccess, ondisk.XattrIndexACLAccess},
	{nameACLDefault, ondisk.XattrIndexACLDefault},
	{"trusted.", ondisk.XattrIndexTrusted},
	{"security.", ondisk.XattrIndexSecurity},
	{"system.", ondisk.XattrIndexSystem},
}

const (
	nameACLAccess  = "system.posix_acl_access"
	nameACLDefault = "system.posix_acl_default"
	nameInlineData = "system.data"
)

// xattr is an attribute as it is on disk.
type xattr struct {
	index uint8
	name  string // without the prefix
	value []byte
}

// size returns how many bytes entry and value take.
func (x xattr) size() int {
	return ondisk.XattrEntrySize(len(x.name)) + ondisk.XattrPad(len(x.value))
}

// newXattr translates an attribute.
func newXattr(a tree.Xattr) (xattr, error) {
	if len(a.Name) > xattrNameMax {
		return xattr{}, fmt.Errorf("its name has %d bytes; Linux takes %d", len(a.Name), xattrNameMax)
	}
	for _, p := range xattrPrefixes {
		name, ok := strings.CutPrefix(a.Name, p.prefix)
		switch isACL := p.prefix == nameACLAccess || p.prefix == nameACLDefault; {
		case !ok, isACL && name != "":
			continue
		case isACL:
			value, err := encodeACL(a.Value)
			return xattr{p.index, "", value}, err
		case name == "", strings.IndexByte(name, 0) >= 0, a.Name == nameInlineData:
			return xattr{}, errors.New("that is no name for an attribute")
		}
		return xattr{p.index, name, a.Value}, nil
	}
	return xattr{}, errors.New(`its name begins with none of "user.", "trusted.", "security.", "system."`)
}

// compareXattrs is the order of entries in which the kernel searches a block
// (ext4_xattr_find_entry): number of the prefix, length, bytes.
func compareXattrs(a, b xattr) int {
	return cmp.Or(
		cmp.Compare(a.index, b.index),
		cmp.Compare(len(a.name), len(b.name)),
		cmp.Compare(a.name, b.name))
}

// splitXattrs divides the attributes of an inode into those that lie in it and
// those in its block, each in order. The inode takes what fits from the last
// prefix down, so that what the kernel asks for at every access and every
// exec (security.*, ACLs) is read with the inode. inInode is the room there.
func splitXattrs(attrs []tree.Xattr, inInode int) (inode, block []xattr, err error) {
	all := make([]xattr, len(attrs))
	for i, a := range attrs {
		if all[i], err = newXattr(a); err != nil {
			return nil, nil, fmt.Errorf("extended attribute %q: %w", a.Name, err)
		}
	}
	slices.SortFunc(all, compareXattrs)
	for i := 1; i < len(all); i++ {
		if compareXattrs(all[i-1], all[i]) == 0 {
			return nil, nil, fmt.Errorf("two extended attributes %q", all[i].name)
		}
	}
	roomInode, roomBlock := inInode-xattrEndSize, xattrInBlock-xattrEndSize
	for _, x := range slices.Backward(all) {
		if size := x.size(); size <= roomInode {
			roomInode -= size
			inode = append(inode, x)
		} else {
			roomBlock -= size
			block = append(block, x)
		}
	}
	if roomBlock < 0 {
		return nil, nil, fmt.Errorf("extended attributes that need %d bytes more than there is room for (%d in the inode, %d in a block)",
			-roomBlock, max(inInode, 0), xattrInBlock)
	}
	slices.Reverse(inode)
	slices.Reverse(block)
	return inode, block, nil
}

// putXattrs writes entries from the front of p and values from its back.
// Offsets of values count from base bytes before p, which arrives cleared. It
// returns the entries' hashes.
func putXattrs(p []byte, base int, xattrs []xattr) (hashes []uint32) {
	at, end := 0, len(p)
	for _, x := range xattrs {
		e := ondisk.XattrEntry{
			NameIndex: x.index,
			Name:      []byte(x.name),
			ValueSize: uint32(len(x.value)),
			Hash:      ondisk.XattrEntryHash([]byte(x.name), x.value),
		}
		if len(x.value) > 0 {
			end -= ondisk.XattrPad(len(x.value))
			copy(p[end:], x.value)
			e.ValueOffset = uint16(base + end)
		}
		e.Encode(p[at:])
		at += ondisk.XattrEntrySize(len(x.name))
		hashes = append(hashes, e.Hash)
	}
	return hashes
}

// putInodeXattrs writes the attributes that lie in the inode whose slot is p.
func putInodeXattrs(p []byte, xattrs []xattr) {
	if len(xattrs) == 0 {
		return
	}
	p = p[inodeSize-xattrInInode-ondisk.XattrMagicSize:]
	binary.LittleEndian.PutUint32(p, ondisk.XattrMagic)
	putXattrs(p[ondisk.XattrMagicSize:], 0, xattrs)
}

// putXattrBlock writes a block of attributes, but for its checksum, which
// depends on where it lies.
func putXattrBlock(p []byte, xattrs []xattr, sharers uint32) {
	clear(p)
	hashes := putXattrs(p[ondisk.XattrBlockHeader:], ondisk.XattrBlockHeader, xattrs)
	header := ondisk.XattrHeader{RefCount: sharers, Blocks: 1, Hash: ondisk.XattrBlockHash(hashes)}
	header.Encode(p)
}

// xattrBlock is a block of attributes: those of the inode with the ordinal
// owner, and of more inodes that have the same.
type xattrBlock struct{ owner, sharers uint32 }

// xattrUser is an inode that has a block of attributes.
type xattrUser struct{ ordinal, block uint32 }

// xattrTable is all blocks of attributes of a file system.
type xattrTable struct {
	blocks []xattrBlock
	users  []xattrUser // by ordinal
}

// blockOf returns which block the inode with an ordinal has.
func (t *xattrTable) blockOf(ordinal uint32) (uint32, bool) {
	i, ok := slices.BinarySearchFunc(t.users, ordinal, func(u xattrUser, o uint32) int {
		return cmp.Compare(u.ordinal, o)
	})
	if !ok {
		return 0, false
	}
	return t.users[i].block, true
}

// xattrSharing finds equal blocks. It is needed while a table is made.
type xattrSharing struct {
	table  *xattrTable
	latest map[[sha256.Size]byte]uint32
	buffer []byte
}

func newXattrSharing(t *xattrTable) *xattrSharing {
	return &xattrSharing{table: t, latest: map[[sha256.Size]byte]uint32{}}
}

// add gives the inode with an ordinal, higher than any before, a block of
// attributes.
func (s *xattrSharing) add(ordinal uint32, xattrs []xattr) {
	t, key := s.table, s.key(xattrs)
	block, ok := s.latest[key]
	if ok && t.blocks[block].sharers < xattrSharers {
		t.blocks[block].sharers++
	} else {
		block = uint32(len(t.blocks))
		t.blocks = append(t.blocks, xattrBlock{owner: ordinal, sharers: 1})
		s.latest[key] = block
	}
	t.users = append(t.users, xattrUser{ordinal, block})
}

// key is the digest of everything in the block.
func (s *xattrSharing) key(xattrs []xattr) [sha256.Size]byte {
	b := s.buffer[:0]
	for _, x := range xattrs {
		b = append(b, x.index, uint8(len(x.name)))
		b = append(b, x.name...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(x.value)))
		b = append(b, x.value...)
	}
	s.buffer = b
	return sha256.Sum256(b)
}
