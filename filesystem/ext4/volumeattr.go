package ext4

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"diskwright/content"
	"diskwright/filesystem/ext4/ondisk"
	"diskwright/tree"
)

// xattrValueMax is the longest value of an attribute: XATTR_SIZE_MAX.
const xattrValueMax = 64 << 10

// Xattrs returns the extended attributes of a file as getxattr(2) gives them,
// sorted by name. What the kernel keeps to itself (inline data, the context of
// encryption) is not among them.
func (v *Volume) Xattrs(n *Node) ([]tree.Xattr, error) {
	var list []tree.Xattr
	err := v.eachXattr(n, func(index uint8, name string, value []byte) error {
		full, ok := attrName(index, name)
		if !ok {
			return nil
		}
		if index == ondisk.XattrIndexACLAccess || index == ondisk.XattrIndexACLDefault {
			var err error
			if value, err = decodeACL(value); err != nil {
				return corrupt("inode %d: %s: %v", n.Number, full, err)
			}
		}
		list = append(list, tree.Xattr{Name: full, Value: slices.Clone(value)})
		return nil
	})
	slices.SortFunc(list, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return list, err
}

// attrName returns the whole name of an attribute, if it is one of users.
func attrName(index uint8, name string) (full string, ok bool) {
	switch index {
	case ondisk.XattrIndexUser:
		return "user." + name, true
	case ondisk.XattrIndexACLAccess:
		return nameACLAccess, name == ""
	case ondisk.XattrIndexACLDefault:
		return nameACLDefault, name == ""
	case ondisk.XattrIndexTrusted:
		return "trusted." + name, true
	case ondisk.XattrIndexSecurity:
		return "security." + name, true
	}
	return "", false
}

// inlineName is the attribute, with the index of "system.", that holds what of
// inline data i_block does not.
const inlineName = "data"

// inlineRest returns the part of a file's inline data that lies in an
// attribute.
func (v *Volume) inlineRest(n *Node) (rest []byte, err error) {
	err = v.eachXattr(n, func(index uint8, name string, value []byte) error {
		if index == ondisk.XattrIndexSystem && name == inlineName {
			rest = value
		}
		return nil
	})
	return rest, err
}

// eachXattr calls fn for the attributes in the inode and in its block.
func (v *Volume) eachXattr(n *Node, fn func(index uint8, name string, value []byte) error) error {
	err := v.inodeXattrs(n, fn)
	if err == nil && n.FileACL != 0 {
		err = v.blockXattrs(n, fn)
	}
	if err != nil {
		return fmt.Errorf("attributes of inode %d: %w", n.Number, err)
	}
	return nil
}

func (v *Volume) inodeXattrs(n *Node, fn func(uint8, string, []byte) error) error {
	if len(n.slot) <= ondisk.OldInodeSize {
		return nil
	}
	area := n.slot[ondisk.OldInodeSize+int(n.ExtraSize):]
	if len(area) < ondisk.XattrMagicSize || binary.LittleEndian.Uint32(area) != ondisk.XattrMagic {
		return nil
	}
	area = area[ondisk.XattrMagicSize:]
	return v.xattrEntries(area, area, fn)
}

func (v *Volume) blockXattrs(n *Node, fn func(uint8, string, []byte) error) error {
	block, err := v.readBlock(n.FileACL)
	if err != nil {
		return err
	}
	h, err := ondisk.DecodeXattrHeader(block)
	switch {
	case err != nil:
		return corrupt("block %d: %v", n.FileACL, err)
	case v.checksums() && h.Checksum != ondisk.XattrChecksum(block, n.FileACL, v.seed):
		return corrupt("the checksum of block %d is wrong", n.FileACL)
	}
	return v.xattrEntries(block[ondisk.XattrBlockHeader:], block, fn)
}

// xattrEntries reads entries; offsets of their values count from the start of
// values.
func (v *Volume) xattrEntries(entries, values []byte, fn func(uint8, string, []byte) error) error {
	for {
		e, size, err := ondisk.DecodeXattrEntry(entries)
		if err != nil {
			return corrupt("%v", err)
		}
		if size == 0 {
			return nil
		}
		entries = entries[size:]
		var value []byte
		switch {
		case e.ValueSize > xattrValueMax:
			return corrupt("%q has %d bytes", e.Name, e.ValueSize)
		case e.ValueInode != 0:
			if value, err = v.xattrInode(e); err != nil {
				return err
			}
		case int64(e.ValueOffset)+int64(e.ValueSize) > int64(len(values)):
			return corrupt("%q has its %d bytes at %d of %d", e.Name, e.ValueSize, e.ValueOffset, len(values))
		default:
			value = values[e.ValueOffset:][:e.ValueSize]
		}
		if err := fn(e.NameIndex, string(e.Name), value); err != nil {
			return err
		}
	}
}

// xattrInode returns a value that has an inode of its own (ea_inode).
func (v *Volume) xattrInode(e ondisk.XattrEntry) ([]byte, error) {
	n, err := v.Node(e.ValueInode)
	if err != nil {
		return nil, err
	}
	if n.Flags&ondisk.FlagEAInode == 0 || n.Flags&(ondisk.FlagInline|ondisk.FlagEncrypt) != 0 || n.Size != uint64(e.ValueSize) {
		return nil, corrupt("inode %d does not hold the %d bytes of an attribute's value", n.Number, e.ValueSize)
	}
	src, err := v.Content(n)
	if err != nil || src == nil {
		return nil, err
	}
	value := make([]byte, e.ValueSize)
	return value, content.ReadFull(src, value, 0)
}
