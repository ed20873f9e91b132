package ext4

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Two encodings of a POSIX ACL. What getxattr gives of
// system.posix_acl_access and system.posix_acl_default, and what a tree holds,
// is that of include/uapi/linux/posix_acl_xattr.h, version 2: every entry has
// an id. On disk (fs/ext4/acl.h, version 1) only the entries of named users
// and groups have one.
//
//	getxattr   version 2 | tag perm id | tag perm id | ...
//	ext4       version 1 | tag perm | tag perm id | ...
const (
	aclVersionXattr  = 2
	aclVersionOnDisk = 1

	aclHeaderSize = 4
	aclEntrySize  = 8 // tag, perm, id
	aclShortSize  = 4 // tag, perm
)

// Tags of ACL entries, in the order in which the kernel demands them.
const (
	aclUserObj  = 0x01
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20

	aclPermMask  = 0o7
	aclUndefined = 0xffffffff // an id that nobody has
)

// encodeACL translates an ACL from getxattr's encoding to that on disk. It
// refuses what the kernel would refuse to load, because such an ACL makes the
// file inaccessible.
func encodeACL(value []byte) ([]byte, error) {
	le := binary.LittleEndian
	if len(value) < aclHeaderSize || le.Uint32(value) != aclVersionXattr {
		return nil, fmt.Errorf("not a POSIX ACL of version %d", aclVersionXattr)
	}
	entries := value[aclHeaderSize:]
	if len(entries) == 0 || len(entries)%aclEntrySize != 0 {
		return nil, fmt.Errorf("a POSIX ACL of %d bytes, which is not whole entries", len(value))
	}
	disk := binary.LittleEndian.AppendUint32(make([]byte, 0, len(value)), aclVersionOnDisk)
	var order aclOrder
	for ; len(entries) > 0; entries = entries[aclEntrySize:] {
		tag, perm, id := le.Uint16(entries), le.Uint16(entries[2:]), le.Uint32(entries[4:])
		if err := order.next(tag, perm, id); err != nil {
			return nil, err
		}
		if disk = append(disk, entries[:aclShortSize]...); tag == aclUser || tag == aclGroup {
			disk = append(disk, entries[aclShortSize:aclEntrySize]...)
		}
	}
	return disk, order.end()
}

// decodeACL translates an ACL from its encoding on disk to getxattr's.
func decodeACL(disk []byte) ([]byte, error) {
	le := binary.LittleEndian
	if len(disk) < aclHeaderSize || le.Uint32(disk) != aclVersionOnDisk {
		return nil, fmt.Errorf("not a POSIX ACL of version %d", aclVersionOnDisk)
	}
	value := le.AppendUint32(make([]byte, 0, 2*len(disk)), aclVersionXattr)
	for entries := disk[aclHeaderSize:]; len(entries) > 0; {
		size := aclShortSize
		if len(entries) >= aclShortSize {
			if tag := le.Uint16(entries); tag == aclUser || tag == aclGroup {
				size = aclEntrySize
			}
		}
		if len(entries) < size {
			return nil, fmt.Errorf("a POSIX ACL of %d bytes, which is not whole entries", len(disk))
		}
		value = append(value, entries[:size]...)
		if size == aclShortSize {
			value = le.AppendUint32(value, aclUndefined)
		}
		entries = entries[size:]
	}
	return value, nil
}

// aclOrder checks what the kernel's posix_acl_valid does: the owner, named
// users, the owning group, named groups, the mask (which there must be if
// anybody is named), the others.
type aclOrder struct {
	last  uint16 // tag
	named bool
}

func (o *aclOrder) next(tag, perm uint16, id uint32) error {
	if perm&^aclPermMask != 0 {
		return fmt.Errorf("a POSIX ACL with permissions %#o", perm)
	}
	named := tag == aclUser || tag == aclGroup
	var follows bool
	switch tag {
	case aclUserObj:
		follows = o.last == 0
	case aclUser:
		follows = o.last == aclUserObj || o.last == aclUser
	case aclGroupObj:
		follows = o.last == aclUserObj || o.last == aclUser
	case aclGroup:
		follows = o.last == aclGroupObj || o.last == aclGroup
	case aclMask:
		follows = o.last == aclGroupObj || o.last == aclGroup
	case aclOther:
		follows = o.last == aclMask || o.last == aclGroupObj && !o.named
	}
	switch {
	case !follows:
		return fmt.Errorf("a POSIX ACL with tag %#x behind tag %#x", tag, o.last)
	case named && id == aclUndefined:
		return errors.New("a POSIX ACL that names an undefined user or group")
	}
	o.last, o.named = tag, o.named || named
	return nil
}

func (o *aclOrder) end() error {
	if o.last != aclOther {
		return errors.New("a POSIX ACL without an entry for others")
	}
	return nil
}
